"""What a caller finds acceptable: which roots, and clauses over verified evidence. It judges, it does not verify.

Production is the default and refuses every platform that is not confidential. A simulated platform or cloud is taken
only by a policy that says so in its name, made in code with the CA of that very run (rules D1, D2): no environment
variable and no fallback leads to it, and it cannot be mixed with production clauses.

The objects are in ``client_sdk/policies``, one idea a file; docs/policy.md has examples of all.
"""

from client_sdk.clauses.expected import AnyValue, MustBeZero, OneOf, Setting
from client_sdk.clauses.nvidia import AnyDevice, Count
from client_sdk.clauses.tdx import Grace
from client_sdk.policies.cloud import AzureCloud, GoogleCloud
from client_sdk.policies.compose import AllOf, AnyOf
from client_sdk.policies.file import load_policy
from client_sdk.policies.gpu import NvidiaGpu
from client_sdk.policies.interface import Policy
from client_sdk.policies.production import Production
from client_sdk.policies.release import MatchesRelease, MaxAge
from client_sdk.policies.simulated import SimulatedCloud, SimulatedPlatform
from client_sdk.policies.tee import CloudVouchedBoot, HardwareVouchedBoot, SevSnp, Tdx
from client_sdk.policies.unsafe import UnsafeUnpinned, UnsafeWithoutRevocation

__all__ = [
    "AllOf",
    "AnyDevice",
    "AnyOf",
    "AnyValue",
    "AzureCloud",
    "CloudVouchedBoot",
    "Count",
    "GoogleCloud",
    "Grace",
    "HardwareVouchedBoot",
    "MatchesRelease",
    "MaxAge",
    "MustBeZero",
    "NvidiaGpu",
    "OneOf",
    "Policy",
    "Production",
    "Setting",
    "SevSnp",
    "SimulatedCloud",
    "SimulatedPlatform",
    "Tdx",
    "UnsafeUnpinned",
    "UnsafeWithoutRevocation",
    "load_policy",
]
