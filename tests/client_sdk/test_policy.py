"""Policies made of policies: what is refused when it is made, and what is reported when nothing holds (R4, D2, P7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client_sdk.ages import Ages
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.policy import (
    AllOf,
    AnyOf,
    AnyValue,
    AzureCloud,
    CloudVouchedBoot,
    GoogleCloud,
    MatchesRelease,
    MaxAge,
    NvidiaGpu,
    Production,
    SevSnp,
    SimulatedPlatform,
    Tdx,
    UnsafeUnpinned,
    UnsafeWithoutRevocation,
)
from client_sdk.roots import Roots, anchors, merged, production_roots
from tests.fakes.judging_cloud import accepted, production, unacceptable
from tests.fakes.simulated_cloud_vm import (
    AZURE_SNP,
    AZURE_TDX,
    DAY,
    GCP_SNP,
    GCP_TDX,
    KINDS,
    SimulatedCloudVm,
    roots,
)
from tests.fakes.simulated_vm import TestCa, default_ca

GOOGLE = GoogleCloud(project="vitrine-test", zones=("us-central1-a",))
CLAUSES = [Production(), MatchesRelease(), MaxAge(), GOOGLE, AzureCloud(), SevSnp(), Tdx(), NvidiaGpu(1)]


def rules(error: PolicyError) -> list[str]:
    return [failure.clause.split(":")[0] for failure in error.failures]


@pytest.mark.parametrize("kind", [AllOf, AnyOf])
def test_an_empty_set_is_refused_when_it_is_made(kind):
    with pytest.raises(PolicyError) as caught:
        kind(())
    assert rules(caught.value) == ["R4"]


@pytest.mark.parametrize("kind", [AllOf, AnyOf])
@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: type(clause).__name__)
def test_a_simulated_platform_is_not_mixed_with_production(kind, clause):
    simulated = SimulatedPlatform(tpm_ca=default_ca().der)
    for policies in ((simulated, clause), (clause, simulated), (AnyOf((simulated,)), AllOf((clause,)))):
        with pytest.raises(PolicyError) as caught:
            kind(policies)
        assert rules(caught.value) == ["D2"]


def test_two_simulated_platforms_can_be_alternatives():
    both = AnyOf((SimulatedPlatform(tpm_ca=default_ca().der), SimulatedPlatform(tpm_ca=TestCa("other").der)))
    assert (both.roots.simulated, len(both.roots.tpm)) == (True, 2)


def test_all_of_reports_everything():
    vm = SimulatedCloudVm(GCP_TDX)
    policy = AllOf((production(), GoogleCloud(project="x", zones=("y",)), NvidiaGpu(1)))
    unacceptable(vm, "K3.4", "K3.5", "G4.1", policy=policy)
    assert accepted(vm, policy=AllOf((production(), GOOGLE))).policy.endswith("Google Cloud, project vitrine-test")


def test_one_of_several_is_enough():
    policy = AnyOf((AllOf((production(), AzureCloud())), AllOf((production(), GOOGLE))))
    for kind in (GCP_TDX, AZURE_SNP, AZURE_TDX):
        found = accepted(SimulatedCloudVm(kind), policy=policy)
        (row,) = [check for check in found.checks if check.id == "P7"]
        assert row.passed
        assert ("Azure" in row.got) is (kind != GCP_TDX)
        assert {check.passed for check in found.checks} == {True}, "what other alternatives say is not reported"


def test_the_roots_of_one_alternative_vouch_for_no_other():
    """The VM chains to a laboratory's roots: the makers' alternative must not take it; the laboratory takes Azure."""
    vm = SimulatedCloudVm(GCP_TDX)
    makers = AllOf((MatchesRelease(), GOOGLE, Tdx(), NvidiaGpu(count=0)))
    laboratory = production(GCP_TDX, azure=AzureCloud())
    for order in ((laboratory, makers), (makers, laboratory)):
        error = unacceptable_by(vm, AnyOf(order))
        assert error & {"P5", "P6"}
    unacceptable(vm, "P6", "P7", policy=AnyOf((makers, AllOf((laboratory, production(), SevSnp())))))
    assert accepted(vm, policy=AnyOf((makers, production())))


def unacceptable_by(vm: SimulatedCloudVm, policy: AnyOf) -> set[str]:
    with pytest.raises(PolicyError) as caught:
        accepted(vm, policy=policy)
    return set(rules(caught.value))


def test_where_none_holds_the_closest_explains_and_all_are_named():
    far = AllOf((production(), GoogleCloud(project="x", zones=("y",)), NvidiaGpu(1)))
    near = AllOf((production(), GoogleCloud(project="x", zones=("us-central1-a",))))
    for order in ((far, near), (near, far)):
        error = unacceptable(SimulatedCloudVm(GCP_TDX), "K3.4", "P7", policy=AnyOf(order))
        last = error.failures[-1]
        assert far.name in last.expected
        assert near.name in last.expected
        assert last.got == f"none; the closest is {near.name}"


def test_of_alternatives_that_fail_as_often_the_one_about_this_cloud_is_told():
    azure, elsewhere = production(azure=AzureCloud()), production(GCP_TDX, google=GoogleCloud("x", AnyValue("a test")))
    error = unacceptable(SimulatedCloudVm(GCP_TDX), "K3.4", "P7", policy=AnyOf((azure, elsewhere)))
    assert error.rules == ("K3.4", "P7")
    unacceptable(SimulatedCloudVm(GCP_TDX), "K3.4", "P7", policy=AnyOf((elsewhere, azure)))


def test_of_alternatives_that_are_as_close_the_first_is_told():
    first, second = (production(GCP_TDX, google=GoogleCloud(name, AnyValue("a test")), label=name) for name in "xy")
    for order in ((first, second), (second, first)):
        error = unacceptable(SimulatedCloudVm(GCP_TDX), "K3.4", "P7", policy=AnyOf(order))
        assert error.failures[-1].got == f"none; the closest is {order[0].name}"


def test_fewer_failures_count_before_the_cloud():
    near = production(GCP_TDX, google=GoogleCloud("x", ("europe-west4-a",)))
    unacceptable(SimulatedCloudVm(GCP_TDX), "P5", "P7", policy=AnyOf((near, production(azure=AzureCloud()))))


@pytest.mark.parametrize(
    ("policy", "kind", "taken"),
    [({"azure": AzureCloud()}, GCP_TDX, "azure"), ({"google": GOOGLE}, AZURE_SNP, "gcp")],
)
def test_a_cloud_that_is_not_taken_is_told_beside_the_one_that_is(policy, kind, taken):
    error = unacceptable(SimulatedCloudVm(kind), "P5", policy=production(kind, **policy))
    assert (error.failures[0].expected, error.rule) == (taken, "P5")
    assert error.failures[0].got != taken


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_tee_that_the_policy_does_not_take(kind):
    mine, other = ("sev-snp", "tdx") if kind.endswith("snp") else ("tdx", "sev-snp")
    error = unacceptable(SimulatedCloudVm(kind), "P8", policy=production(kind, tee=frozenset({other})))
    assert (error.failures[0].expected, error.failures[0].got) == (other, mine)
    found = accepted(SimulatedCloudVm(kind), policy=production(kind, tee=frozenset({mine})))
    assert f"{mine} alone" in found.policy
    assert [check.passed for check in found.checks if check.id == "P8"] == [True]


def test_the_kind_of_tee_is_judged_by_the_default_too():
    assert [check.passed for check in accepted(SimulatedCloudVm(GCP_TDX)).checks if check.id == "P8"] == [True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("clause", "fits", "rule"),
    [
        (GOOGLE, {GCP_SNP, GCP_TDX}, "P5"),
        (AzureCloud(), {AZURE_SNP, AZURE_TDX}, "P5"),
        (SevSnp(boot=CloudVouchedBoot("a test")), {GCP_SNP, AZURE_SNP}, "P1.snp"),
        (Tdx(), {GCP_TDX, AZURE_TDX}, "P1.tdx"),
    ],
)
def test_a_clause_is_about_its_own_kind(kind, clause, fits, rule):
    policy = AllOf((production(kind), clause))
    if kind in fits:
        assert accepted(SimulatedCloudVm(kind), policy=policy)
    else:
        unacceptable(SimulatedCloudVm(kind), rule, policy=policy)


def test_anchors_are_taken_together_and_the_shortest_ages_count():
    one = Roots(simulated=False, google=anchors(default_ca().der), ages=Ages(tcb_info=DAY))
    both = merged([one, replace(production_roots(), ages=Ages(ocsp=DAY))])
    assert len(both.google) == 2
    assert len(merged([both, one]).google) == 2
    assert (both.ages.tcb_info, both.ages.ocsp, both.ages.root_crl) == (DAY, DAY, Ages().root_crl)
    assert AllOf((production(), MaxAge(Ages(ocsp=DAY)))).roots.ages.ocsp == DAY


def test_an_alternative_is_not_satisfied_under_anothers_anchors():
    """The evidence verifies, because a neighbour pins its roots, but that neighbour's clauses refuse it."""
    strict = AllOf((production(), GoogleCloud(project="x", zones=("y",))))
    error = unacceptable(SimulatedCloudVm(GCP_TDX), "P6", "P7", policy=AnyOf((Production(), strict)))
    assert "the closest is production" in error.failures[-1].got


def test_production_pins_what_ships_with_the_package():
    found = Production().roots
    assert (found.simulated, found.tpm) == (False, ())
    assert all((found.google, found.azure, found.amd, found.intel, found.nvidia, found.nvidia_rim))
    assert not found.fingerprints & roots().fingerprints


@pytest.mark.parametrize("unsafe", [UnsafeUnpinned, UnsafeWithoutRevocation, CloudVouchedBoot])
def test_what_opts_out_needs_a_reason(unsafe):
    with pytest.raises(EvidenceError, match="reason"):
        unsafe("  ")
    assert unsafe("a test").why == "a test"


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        (Production(release=MatchesRelease(UnsafeUnpinned("a test"))), "unsafe"),
        (Production(snp=SevSnp(revocation=UnsafeWithoutRevocation("a test"))), "unsafe"),
        (Production(gpu=NvidiaGpu(1, revocation=UnsafeWithoutRevocation("a test"))), "unsafe"),
        (Production(snp=SevSnp(boot=CloudVouchedBoot("a test"))), "the cloud's word"),
    ],
)
def test_what_opts_out_stands_in_the_name(policy, word):
    assert word in policy.name
    assert word in AnyOf((policy,)).name


def test_anchors_are_read_from_certificates_alone():
    assert anchors(default_ca().pem) == anchors(default_ca().der)
    assert anchors(default_ca().certificate)[0].fingerprint == anchors(default_ca().der)[0].fingerprint
    for wrong in (b"", b"-----BEGIN CERTIFICATE-----", default_ca().pem * 2):
        with pytest.raises(EvidenceError, match=r"roots\[0\]"):
            anchors(wrong)


@pytest.mark.parametrize("gone", range(4))
def test_a_policy_that_says_nothing_about_a_part(gone):
    clauses = [MatchesRelease(), GOOGLE, Tdx(), NvidiaGpu(1)]
    vm, pins = SimulatedCloudVm(GCP_TDX, gpus=1), TestRoots()
    assert accepted(vm, policy=AllOf((pins, *clauses)))
    del clauses[gone]
    error = unacceptable(vm, "R4.1", policy=AllOf((pins, *clauses)))
    names = ("what the release pins", "the cloud", "the CPU's report", "the GPUs")
    assert error.failures[0].got == names[gone]


class TestRoots:
    """A clause of a caller's own, which brings roots and judges nothing."""

    __test__ = False
    name, roots = "test roots", roots()

    def judge(self, evidence, measurement, ledger):
        return ()
