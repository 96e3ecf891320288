"""Vitrine's client: verify a service before the first byte, then use it as the OpenAI API."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client_sdk.accept import Accepted
    from client_sdk.ages import Ages
    from client_sdk.channel import attested_context
    from client_sdk.client import AsyncClient, Client
    from client_sdk.collateral import Collateral, load_collateral
    from client_sdk.errors import (
        AttestationError,
        EvidenceError,
        Failure,
        FetchError,
        Node,
        PolicyError,
        VerificationError,
    )
    from client_sdk.evidence import Evidence
    from client_sdk.fleet import Refused
    from client_sdk.policy import (
        AllOf,
        AnyOf,
        AnyValue,
        AzureCloud,
        CloudVouchedBoot,
        Count,
        GoogleCloud,
        Grace,
        MatchesRelease,
        MaxAge,
        NvidiaGpu,
        OneOf,
        Policy,
        Production,
        SevSnp,
        SimulatedCloud,
        SimulatedPlatform,
        Tdx,
        UnsafeUnpinned,
        UnsafeWithoutRevocation,
        load_policy,
    )
    from client_sdk.publisher import Publisher
    from client_sdk.release import Release, verify_release
    from client_sdk.report import Check, Report
    from client_sdk.roots import Roots, anchors
    from client_sdk.rounds import attest, observe, verify_stored
    from client_sdk.verifier import VerifiedEvidence, challenge
    from client_sdk.verify.activation import Activation

__all__ = [
    "Accepted",
    "Activation",
    "Ages",
    "AllOf",
    "AnyOf",
    "AnyValue",
    "AsyncClient",
    "AttestationError",
    "AzureCloud",
    "Check",
    "Client",
    "CloudVouchedBoot",
    "Collateral",
    "Count",
    "Evidence",
    "EvidenceError",
    "Failure",
    "FetchError",
    "GoogleCloud",
    "Grace",
    "MatchesRelease",
    "MaxAge",
    "Node",
    "NvidiaGpu",
    "OneOf",
    "Policy",
    "PolicyError",
    "Production",
    "Publisher",
    "Refused",
    "Release",
    "Report",
    "Roots",
    "SevSnp",
    "SimulatedCloud",
    "SimulatedPlatform",
    "Tdx",
    "UnsafeUnpinned",
    "UnsafeWithoutRevocation",
    "VerificationError",
    "VerifiedEvidence",
    "anchors",
    "attest",
    "attested_context",
    "challenge",
    "load_collateral",
    "load_policy",
    "observe",
    "verify_release",
    "verify_stored",
]

# `verify` and `accept` are not here: the folder and the file of these names would shadow them. Take them from
# client_sdk.verifier and client_sdk.accept.
# Loaded on first use (PEP 562): `openai` takes long to import, and a VM has only the modules of the formats.
_HOMES = {
    "Accepted": "accept",
    "Activation": "verify.activation",
    "Ages": "ages",
    "AllOf": "policy",
    "AnyOf": "policy",
    "AnyValue": "policy",
    "AsyncClient": "client",
    "AttestationError": "errors",
    "AzureCloud": "policy",
    "Check": "report",
    "Client": "client",
    "CloudVouchedBoot": "policy",
    "Collateral": "collateral",
    "Count": "policy",
    "Evidence": "evidence",
    "EvidenceError": "errors",
    "Failure": "errors",
    "FetchError": "errors",
    "GoogleCloud": "policy",
    "Grace": "policy",
    "MatchesRelease": "policy",
    "MaxAge": "policy",
    "Node": "errors",
    "NvidiaGpu": "policy",
    "OneOf": "policy",
    "Policy": "policy",
    "PolicyError": "errors",
    "Production": "policy",
    "Publisher": "publisher",
    "Refused": "fleet",
    "Release": "release",
    "Report": "report",
    "Roots": "roots",
    "SevSnp": "policy",
    "SimulatedCloud": "policy",
    "SimulatedPlatform": "policy",
    "Tdx": "policy",
    "UnsafeUnpinned": "policy",
    "UnsafeWithoutRevocation": "policy",
    "VerificationError": "errors",
    "VerifiedEvidence": "verifier",
    "anchors": "roots",
    "attest": "rounds",
    "attested_context": "channel",
    "challenge": "verifier",
    "load_collateral": "collateral",
    "load_policy": "policy",
    "observe": "rounds",
    "verify_release": "release",
    "verify_stored": "rounds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
