"""Vitrine's client: verify a service before the first byte, then use it as the OpenAI API."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client_sdk.accept import Accepted
    from client_sdk.channel import attested_context
    from client_sdk.client import AsyncClient, Client
    from client_sdk.errors import (
        AttestationError,
        EvidenceError,
        Failure,
        FetchError,
        PolicyError,
        VerificationError,
    )
    from client_sdk.evidence import Evidence
    from client_sdk.policy import Policy, Production, SimulatedPlatform
    from client_sdk.publisher import Publisher
    from client_sdk.release import Release, verify_release
    from client_sdk.report import Check, Report
    from client_sdk.roots import Roots
    from client_sdk.rounds import attest, observe
    from client_sdk.verifier import VerifiedEvidence, challenge
    from client_sdk.verify.activation import Activation

__all__ = [
    "Accepted",
    "Activation",
    "AsyncClient",
    "AttestationError",
    "Check",
    "Client",
    "Evidence",
    "EvidenceError",
    "Failure",
    "FetchError",
    "Policy",
    "PolicyError",
    "Production",
    "Publisher",
    "Release",
    "Report",
    "Roots",
    "SimulatedPlatform",
    "VerificationError",
    "VerifiedEvidence",
    "attest",
    "attested_context",
    "challenge",
    "observe",
    "verify_release",
]

# `verify` and `accept` are not here: the folder and the file of these names would shadow them. Take them from
# client_sdk.verifier and client_sdk.accept.
# Loaded on first use (PEP 562): `openai` takes long to import, and a VM has only the modules of the formats.
_HOMES = {
    "Accepted": "accept",
    "Activation": "verify.activation",
    "AsyncClient": "client",
    "AttestationError": "errors",
    "Check": "report",
    "Client": "client",
    "Evidence": "evidence",
    "EvidenceError": "errors",
    "Failure": "errors",
    "FetchError": "errors",
    "Policy": "policy",
    "PolicyError": "errors",
    "Production": "policy",
    "Publisher": "publisher",
    "Release": "release",
    "Report": "report",
    "Roots": "roots",
    "SimulatedPlatform": "policy",
    "VerificationError": "errors",
    "VerifiedEvidence": "verifier",
    "attest": "rounds",
    "attested_context": "channel",
    "challenge": "verifier",
    "observe": "rounds",
    "verify_release": "release",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
