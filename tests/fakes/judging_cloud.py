"""The whole offline path over a simulated cloud VM: verify under the test roots, accept under production's clauses."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from client_sdk.accept import Accepted, accept
from client_sdk.collateral import Collateral
from client_sdk.errors import PolicyError, VerificationError
from client_sdk.evidence import Evidence
from client_sdk.policies.interface import Policy
from client_sdk.policy import CloudVouchedBoot, Production, SevSnp
from client_sdk.release import Measurement
from client_sdk.roots import Roots
from client_sdk.verifier import VerifiedEvidence, verify
from tests.fakes.judging import NONCE, OTHERS, rules
from tests.fakes.simulated_cloud_vm import GCP_SNP, MOMENT, SimulatedCloudVm, roots
from tests.fakes.simulated_vm import release

_OWN = object()


def production(kind: str = "", **clauses) -> Production:
    """Return production's policy under the test roots; on SEV-SNP at Google's it takes Google's word for the image."""
    if kind == GCP_SNP:
        clauses.setdefault("snp", SevSnp(boot=CloudVouchedBoot("a test")))
    return Production(**{"roots": roots()} | clauses)


def verified(
    vm: SimulatedCloudVm,
    *,
    evidence: Evidence | None = None,
    collateral: Collateral | object | None = _OWN,
    anchors: Roots | None = None,
    now: datetime = MOMENT,
    nonce: bytes = NONCE,
) -> VerifiedEvidence:
    """Verify what a VM says; the evidence takes the way over the wire."""
    told = Evidence.from_json((evidence or vm.evidence(NONCE, OTHERS)).to_json())
    given = vm.collateral() if collateral is _OWN else collateral
    return verify(told, roots=anchors or roots(), nonce=nonce, now=now, collateral=given)


def accepted(
    vm: SimulatedCloudVm, *, policy: Policy | None = None, measured: Measurement | None = None, **options
) -> Accepted:
    policy = policy or production(vm.kind)
    evidence = verified(vm, anchors=policy.roots, **options)
    return accept(evidence, releases=(release(measured=measured or vm.measurement()),), policy=policy)


def refused(vm: SimulatedCloudVm, rule: str, **options) -> VerificationError:
    """Verify; only this rule may refuse it."""
    with pytest.raises(VerificationError) as caught:
        verified(vm, **options)
    assert caught.value.rule == rule, str(caught.value)
    assert rules(caught.value) in ([rule], [])
    return caught.value


def unacceptable(vm: SimulatedCloudVm, *expected: str, **options) -> PolicyError:
    """Verify and judge; exactly these clauses may refuse it."""
    with pytest.raises(PolicyError) as caught:
        accepted(vm, **options)
    found = {failure.clause.split(":")[0] for failure in caught.value.failures}
    assert found == set(expected), str(caught.value)
    assert set(rules(caught.value)) == set(expected)
    return caught.value


def mixed(vm: SimulatedCloudVm, other: SimulatedCloudVm, *names: str) -> Evidence:
    """Return evidence of one VM with parts of another's."""
    mine, theirs = vm.evidence(NONCE, OTHERS), other.evidence(NONCE, OTHERS)
    return replace(mine, **{name: getattr(theirs, name) for name in names})
