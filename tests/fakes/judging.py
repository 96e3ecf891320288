"""The whole offline path over a simulated VM: challenge, activation, verify, accept."""

from __future__ import annotations

import hashlib
from datetime import datetime

from client_sdk.accept import Accepted, accept
from client_sdk.errors import AttestationError
from client_sdk.evidence import Evidence
from client_sdk.policy import Policy, SimulatedPlatform
from client_sdk.release import Release
from client_sdk.verifier import VerifiedEvidence, verify
from tests.fakes.simulated_vm import NOW, SimulatedVm, TestCa, default_ca, release

NONCE = hashlib.sha256(b"nonce").digest()
OTHERS = tuple(hashlib.sha256(b"other %d" % i).digest() for i in range(4))


def stream(seed: bytes = b"seed"):
    """Return random bytes that are the same in every run."""
    state = hashlib.sha256(seed)

    def read(size: int) -> bytes:
        state.update(b"next")
        return hashlib.shake_256(state.digest()).digest(size)

    return read


def simulated(ca: TestCa | None = None) -> SimulatedPlatform:
    return SimulatedPlatform(tpm_ca=(ca or default_ca()).pem)


def verified(
    vm: SimulatedVm,
    *,
    policy: Policy | None = None,
    nonce: bytes = NONCE,
    evidence: Evidence | None = None,
    now: datetime = NOW,
) -> VerifiedEvidence:
    """Verify what a VM says; the evidence takes the way over the wire."""
    told = Evidence.from_json((evidence or vm.evidence(NONCE, OTHERS)).to_json())
    activation = vm.activation(told, stream())
    roots = (policy or simulated()).roots
    return verify(told, roots=roots, nonce=nonce, now=now, activation=activation)


def accepted(vm: SimulatedVm, *releases: Release, policy: Policy | None = None) -> Accepted:
    policy = policy or simulated()
    return accept(verified(vm, policy=policy), releases=releases or (release(),), policy=policy)


def rules(error: AttestationError) -> list[str]:
    """Return the ids of the checks that failed."""
    return [check.id for check in error.checks if not check.passed]
