"""Production takes good evidence under roots that were given, and refuses other roots and weaker releases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256, sha384

import pytest

from client_sdk.accept import accept
from client_sdk.ages import Ages
from client_sdk.binding import DEBUG_LOCKDOWN
from client_sdk.clauses.launch import judge_launch
from client_sdk.errors import EvidenceError, PolicyError, VerificationError
from client_sdk.evidence import RuntimeEvent
from client_sdk.page import Heading, render
from client_sdk.policy import (
    AllOf,
    AzureCloud,
    CloudVouchedBoot,
    GoogleCloud,
    MatchesRelease,
    NvidiaGpu,
    Production,
    SevSnp,
    SimulatedPlatform,
    Tdx,
    UnsafeUnpinned,
)
from client_sdk.release import TemplateEvent
from client_sdk.report import Ledger
from tests.fakes import judging, simulated_tdx
from tests.fakes.boot_log import BOOT, FLAGS, boot_log, variable
from tests.fakes.judging_cloud import accepted, production, refused, unacceptable, verified
from tests.fakes.simulated_cloud_vm import (
    AZURE_SNP,
    AZURE_TDX,
    GCP_SNP,
    GCP_TDX,
    KINDS,
    MOMENT,
    SimulatedCloudVm,
    changed,
    roots,
)
from tests.fakes.simulated_vm import SimulatedVm, default_ca, release


def test_the_default_takes_a_tdx_machine_with_a_gpu_under_given_roots():
    found = accepted(SimulatedCloudVm(GCP_TDX, gpus=1), policy=Production(roots=roots()))
    assert found.policy == "production"
    facts = found.report.as_dict()["facts"]
    assert (facts["tee"], facts["tcb_status"], facts["project"]) == ("tdx", "UpToDate", "vitrine-test")


def test_the_default_takes_no_test_root():
    with pytest.raises(VerificationError, match=r"\[K1.1\]"):
        accepted(SimulatedCloudVm(GCP_TDX, gpus=1), policy=Production())


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_roots_are_not_productions(kind):
    simulated = replace(roots(), simulated=True)
    unacceptable(SimulatedCloudVm(kind), "P1", policy=replace(production(kind), roots=simulated))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gone", ["google", "azure", "amd", "intel"])
def test_a_kind_without_an_anchor_vouches_for_nothing(kind, gone):
    needed = {"google": "K1.1", "azure": "K1.1", "amd": "T2.1", "intel": "T7.1.1"}
    used = {GCP_SNP: "google amd", GCP_TDX: "google intel", AZURE_SNP: "azure amd", AZURE_TDX: "azure intel"}
    less = replace(roots(), **{gone: ()})
    if gone in used[kind]:
        refused(SimulatedCloudVm(kind), needed[gone], anchors=less)
    else:
        assert verified(SimulatedCloudVm(kind), anchors=less).tee


@pytest.mark.parametrize(("gone", "rule"), [("nvidia", "G1.1.1"), ("nvidia_rim", "G3.4.1")])
def test_gpus_have_anchors_of_their_own(gone, rule):
    refused(SimulatedCloudVm(GCP_TDX, gpus=1), rule, anchors=replace(roots(), **{gone: ()}))


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_that_was_verified_under_other_roots(kind):
    vm = SimulatedCloudVm(kind)
    policy = replace(production(kind), roots=Production().roots)
    with pytest.raises(PolicyError) as caught:
        accept(verified(vm), releases=(release(measured=vm.measurement()),), policy=policy)
    assert {f.clause.split(":")[0] for f in caught.value.failures} == {"P6"}


def test_a_platform_that_is_not_confidential():
    evidence = judging.verified(SimulatedVm())
    with pytest.raises(PolicyError) as caught:
        accept(evidence, releases=(release(),), policy=Production())
    assert {f.clause.split(":")[0] for f in caught.value.failures} == {"P1", "P2", "P3"}
    with pytest.raises(PolicyError) as caught:
        accept(replace(evidence, simulated=False), releases=(release(),), policy=Production())
    assert {f.clause.split(":")[0] for f in caught.value.failures} == {"P1", "P2", "P3"}


@pytest.mark.parametrize(
    ("kind", "rules", "change"),
    [
        (GCP_SNP, ("P2",), {"pcr0_allowed": ()}),
        (GCP_TDX, ("P2",), {"pcr0_allowed": ()}),
        (AZURE_SNP, ("P2", "L6.pcr0"), {"pcr0_allowed": ()}),
        (GCP_SNP, ("P3",), {"acpi_allowed": ()}),
        (GCP_TDX, ("P3", "T9.12"), {"acpi_allowed": ()}),
        (GCP_SNP, ("P4",), {"launch_measurements": ()}),
        (GCP_TDX, ("P4", "T9.1"), {"launch_measurements": ()}),
        (AZURE_SNP, ("T5.6",), {"launch_measurements": ()}),
        (AZURE_TDX, ("T5.6",), {"launch_measurements": ()}),
        (GCP_SNP, ("T5.1",), {"launch_measurements": (bytes(48),)}),
        (GCP_TDX, ("T8.11",), {"launch_measurements": (bytes(48),)}),
        (AZURE_SNP, ("T5.1", "T5.6"), {"launch_measurements": (bytes(48),)}),
        (AZURE_TDX, ("T8.11", "T5.6"), {"launch_measurements": (bytes(48),)}),
        (GCP_TDX, ("T9.1",), {"rtmrs": ()}),
        (AZURE_TDX, ("T8.13",), {"rtmrs": ((1, b"\1" * 48),)}),
    ],
)
def test_a_release_that_pins_less_or_something_else(kind, rules, change):
    vm = SimulatedCloudVm(kind)
    unacceptable(vm, *rules, measured=replace(vm.measurement(), **change))


@pytest.mark.parametrize("said", [DEBUG_LOCKDOWN, b"vitrine/lockdown/v2", b""])
@pytest.mark.parametrize("kind", [GCP_SNP, GCP_TDX, AZURE_SNP])
def test_a_release_of_an_image_that_is_not_wholly_locked(kind, said):
    """The VM says the same of itself: nothing but this rule refuses it, and no opting out of another one helps."""
    vm = SimulatedCloudVm(kind)
    vm.runtime = [RuntimeEvent("lockdown", said), *vm.runtime_log()[1:]]
    measured = vm.measurement()
    measured = replace(measured, pcr15_template=(TemplateEvent("lockdown", said), *measured.pcr15_template[1:]))
    error = unacceptable(vm, "P9", measured=measured)
    assert "not of a DEBUG one" in str(error)
    (check,) = [one for one in error.checks if one.id == "P9"]
    assert check.got == said.decode()
    assert "DEBUG" not in str(error.facts), "production goes without nothing"
    loose = production(kind, release=MatchesRelease(UnsafeUnpinned("a test")))
    unacceptable(vm, "P9", measured=measured, policy=loose)


@pytest.mark.parametrize("register", [0, 1, 2, 3])
def test_each_register_is_compared(register):
    vm = SimulatedCloudVm(GCP_TDX)
    values = dict(vm.measurement().rtmrs) | {register: b"\1" * 48}
    unacceptable(vm, f"T8.{12 + register}", measured=replace(vm.measurement(), rtmrs=tuple(sorted(values.items()))))


def test_a_register_that_the_release_names_needs_no_list():
    vm = SimulatedCloudVm(GCP_TDX)
    first = simulated_tdx.extended(vm.td_log)[0]
    tables = tuple(digest for digest in vm.measurement().acpi_allowed if len(digest) == 32)
    named = replace(vm.measurement(), acpi_allowed=tables, rtmrs=((0, first), *vm.measurement().rtmrs))
    assert accepted(vm, measured=named)


def test_another_command_line_shows_in_the_cpu_alone():
    """A TPM that lies about it does not help: the CPU measured it as well."""
    vm = SimulatedCloudVm(GCP_TDX)
    released = vm.measurement()
    vm.td_log[-2] = simulated_tdx.Logged(3, 0x6, b"init=/bin/sh")
    unacceptable(vm, "T8.14", measured=released)


def test_a_table_that_the_cpu_saw_and_nobody_published():
    vm = SimulatedCloudVm(GCP_TDX)
    released = vm.measurement()
    vm.td_log.insert(9, simulated_tdx.Logged(1, 0xA, b"ACPI DATA", b"\1" * 48))
    unacceptable(vm, "T9.12", measured=released)


@pytest.mark.parametrize("kind", [GCP_SNP, GCP_TDX])
def test_a_table_that_the_tpm_saw_and_nobody_published(kind):
    vm = SimulatedCloudVm(kind)
    released = vm.measurement()
    place = next(i for i, event in enumerate(vm.log) if event.kind == FLAGS)
    vm.log.insert(place, replace(vm.log[place], digest=b"\1" * 32))
    unacceptable(vm, "L1.acpi", measured=released)


TABLE = b"DSDT" + b" code that reads the guest's memory" * 4


@pytest.mark.parametrize("kind", [GCP_SNP, GCP_TDX])
@pytest.mark.parametrize(
    ("event", "data"),
    [(0x80000009, b"anything"), (BOOT, variable("BootOrder", TABLE))],
    ids=["a hand-off table", "a boot variable"],
)
def test_a_table_that_is_told_as_another_thing(kind, event, data):
    """An event's type is not in its digest: a host that took the guest over may call its table what it likes."""
    vm = SimulatedCloudVm(kind)
    released = vm.measurement()
    place = next(i for i, event in enumerate(vm.log) if event.kind == FLAGS)
    vm.log[place] = replace(vm.log[place], digest=sha256(TABLE).digest(), kind=event, data=data)
    unacceptable(vm, "L1.acpi", measured=released)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (0x80000002, simulated_tdx.variable(simulated_tdx.GLOBAL, "Boot0007", TABLE)),
        (0x800000E0, TABLE),
    ],
    ids=["a boot variable", "an authority of Secure Boot"],
)
def test_a_table_that_is_told_to_the_cpu_as_another_thing(event, data):
    vm = SimulatedCloudVm(GCP_TDX)
    released = vm.measurement()
    place = next(i for i, logged in enumerate(vm.td_log) if logged.kind == 0xA)
    table = simulated_tdx.Logged(1, event, data, sha384(TABLE).digest())
    rest = vm.td_log[place + 1 :]
    if event == 0x800000E0:  # nothing else may follow one
        values = {0x80000002: b"\0\0"}  # of BootOrder the value is measured
        told = [(one, values.get(one.kind, one.data)) for one in rest]
        rest = [simulated_tdx.Logged(1, event, value) if one.register == 1 else one for one, value in told]
    vm.td_log[place:] = [table, *rest]
    unacceptable(vm, "T9.12", measured=released)


@pytest.mark.parametrize("kind", [AZURE_SNP, AZURE_TDX])
@pytest.mark.parametrize("pcr", [0, 1, 2, 3, 4, 5, 7, 9, 11])
def test_without_a_log_every_pcr_has_a_golden_value(kind, pcr):
    vm = SimulatedCloudVm(kind)
    stated = vm.measurement()
    if pcr == 0:
        unacceptable(vm, "L6.pcr0", measured=replace(stated, pcr0_allowed=(b"\1" * 32,)))
        return
    values = tuple((index, b"\1" * 32 if index == pcr else value) for index, value in stated.pcrs)
    unacceptable(vm, f"L6.pcr{pcr}", measured=replace(stated, pcrs=values))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left", [0, 1, 2, 5])
def test_a_release_made_in_code_that_leaves_out_a_pcr_or_an_event(kind, left):
    """What it does not name, nobody would compare: on Azure, without a log, that is true of PCR 1 too."""
    measured = SimulatedCloudVm(kind).measurement()
    with pytest.raises(EvidenceError, match=r"measurement\.pcrs: expected PCRs"):
        replace(measured, pcrs=measured.pcrs[:left] + measured.pcrs[left + 1 :])
    with pytest.raises(EvidenceError, match=r"measurement\.pcr15_template: expected the events"):
        replace(measured, pcr15_template=measured.pcr15_template[:left][:3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("simulated", [True, False])
def test_evidence_verified_under_foreign_roots_and_a_policy_of_clauses_alone(kind, simulated):
    """Who calls ``verify`` and ``accept`` apart may mix them up: no clause but Production's looks at the anchors."""
    vm = SimulatedCloudVm(kind, gpus=1)
    evidence = verified(vm, anchors=replace(roots(), simulated=simulated))
    cloud = AzureCloud() if kind.startswith("azure") else GoogleCloud(project="vitrine-test", zones=("us-central1-a",))
    cpu = SevSnp(boot=CloudVouchedBoot("a test")) if kind.endswith("snp") else Tdx()
    policy = AllOf((MatchesRelease(), cloud, cpu, NvidiaGpu(1)))
    with pytest.raises(PolicyError) as caught:
        accept(evidence, releases=(release(measured=vm.measurement()),), policy=policy)
    found = {failure.clause.split(":")[0] for failure in caught.value.failures}
    assert found == ({"D2.1", "P6"} if simulated else {"P6"})


def test_a_platform_that_nobody_has_thought_of_yet_gets_no_leniency():
    """Only a paravisor that the CPU measured stands for the image, not being on another cloud than Google's."""
    evidence = replace(verified(SimulatedCloudVm(GCP_SNP)), platform="another-cloud")
    open_release = replace(SimulatedCloudVm(GCP_SNP).measurement(), launch_measurements=())
    ledger = Ledger()
    SevSnp().judge(evidence, open_release, ledger)
    MatchesRelease().judge(evidence, open_release, ledger)
    assert {check.id for check in ledger.checks if not check.passed} == {"T10.1", "P4"}


@pytest.mark.parametrize(("clause", "rule"), [(SevSnp(), "P1.snp"), (Tdx(), "P1.tdx")])
def test_a_clause_about_a_cpu_where_no_cpu_vouches(clause, rule):
    (failure,) = clause.judge(judging.verified(SimulatedVm()), release().measurements[0], Ledger())
    assert (failure.clause.split(":")[0], failure.got) == (rule, "none")


def test_tdx_without_a_log_and_without_a_named_rtmr0():
    vm = SimulatedCloudVm(GCP_TDX)
    tee = replace(verified(vm).tee, log=None)
    failures = judge_launch(tee, vm.measurement(), Ledger())
    assert [failure.clause.split(":")[0] for failure in failures] == ["T8.12"]


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (GCP_SNP, {"pcr0_allowed": ()}, "the release pins no firmware"),
        (GCP_SNP, {"acpi_allowed": ()}, "the release pins no ACPI tables"),
        (GCP_SNP, {"launch_measurements": ()}, "the release names no launch measurement"),
    ],
)
def test_what_a_release_leaves_open_stands_in_the_page(kind, change, says):
    """Also where the policy takes it: a reader must not take an accepted VM for one whose firmware is known."""
    vm = SimulatedCloudVm(kind)
    policy = production(kind, release=MatchesRelease(UnsafeUnpinned("a test")))
    heading = Heading("https://example.test", "policy", MOMENT)
    pages = [
        render(accepted(vm, policy=policy, measured=measured).report, heading).decode()
        for measured in (vm.measurement(), replace(vm.measurement(), **change))
    ]
    assert [f"anything against this: {says}" in text for text in pages] == [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_verified_cannot_be_changed(kind):
    evidence = verified(SimulatedCloudVm(kind))
    with pytest.raises(TypeError):
        evidence.pcrs[4] = bytes(32)
    if evidence.tee.hcl is not None:
        with pytest.raises(TypeError):
            evidence.tee.hcl.configuration["console-enabled"] = False


def test_another_image_on_azure():
    vm = SimulatedCloudVm(AZURE_SNP)
    released = vm.measurement()
    vm.log = boot_log(image=b"another")
    unacceptable(vm, "L6.pcr0", "L6.pcr4", "L6.pcr11", measured=released)


@pytest.mark.parametrize("kind", KINDS)
def test_gpus_where_the_release_has_none(kind):
    vm, bare = SimulatedCloudVm(kind, gpus=1), SimulatedCloudVm(kind)
    unacceptable(vm, "L11.3", measured=bare.measurement())


@pytest.mark.parametrize("kind", KINDS)
def test_no_gpu_where_the_release_has_some(kind):
    vm, rich = SimulatedCloudVm(kind), SimulatedCloudVm(kind, gpus=1)
    unacceptable(vm, "L11.3", measured=rich.measurement())


@pytest.mark.parametrize("kind", KINDS)
def test_an_unpinned_release_needs_an_unsafe_choice(kind):
    vm = SimulatedCloudVm(kind)
    loose = replace(vm.measurement(), acpi_allowed=vm.measurement().acpi_allowed[4:], launch_measurements=())
    policy = replace(production(kind), release=MatchesRelease(UnsafeUnpinned("a test")))
    rules = {GCP_SNP: (), GCP_TDX: ("T9.1",)}.get(kind, ("T5.6",))
    if kind == GCP_SNP:
        loose = replace(loose, pcr0_allowed=(), acpi_allowed=())
        found = accepted(vm, policy=policy, measured=loose)
        assert "unsafe" in found.policy
        assert {row["rules"] for row in found.report.as_dict()["not_run"]} >= {"L1.pcr0", "L1.acpi", "T5.1, T8.11"}
        return
    with pytest.raises(PolicyError) as caught:
        accepted(vm, policy=policy, measured=loose)
    assert set(rules) <= {f.clause.split(":")[0] for f in caught.value.failures}


def test_a_simulated_policy_takes_no_clouds_evidence():
    with pytest.raises(VerificationError, match=r"\[K1.1\]"):
        accepted(SimulatedCloudVm(GCP_TDX), policy=SimulatedPlatform(tpm_ca=default_ca().der))


def test_a_change_of_a_file_that_is_not_there_is_noticed():
    with pytest.raises(AssertionError):
        changed({}, {"amd/genoa/crl.der": None})


@pytest.mark.parametrize(
    ("theirs", "ours"), [("amd", "intel"), ("google", "nvidia"), ("nvidia", "nvidia_rim"), ("nvidia_rim", "nvidia")]
)
def test_an_anchor_vouches_for_its_own_kind_alone(theirs, ours):
    """The policy pins the same certificate, but for something else: that must not pass as pinned."""
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    moved = replace(roots(), **{theirs: getattr(roots(), theirs) + getattr(roots(), ours), ours: ()})
    with pytest.raises(PolicyError) as caught:
        accept(verified(vm), releases=(release(measured=vm.measurement()),), policy=production(roots=moved))
    assert {failure.clause.split(":")[0] for failure in caught.value.failures} == {"P6"}


def test_collateral_held_to_longer_limits_than_the_policys():
    """A policy of clauses without MaxAge has limits all the same: those of its roots."""
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    patient = replace(roots(), ages=Ages(**dict.fromkeys(Ages.__dataclass_fields__, timedelta(days=4000))))
    clauses = (MatchesRelease(), GoogleCloud(project="vitrine-test", zones=("us-central1-a",)), Tdx(), NvidiaGpu(1))
    policy = AllOf((Pinned(), *clauses))
    assert accept(verified(vm), releases=(release(measured=vm.measurement()),), policy=policy)
    with pytest.raises(PolicyError) as caught:
        accept(verified(vm, anchors=patient), releases=(release(measured=vm.measurement()),), policy=policy)
    assert {failure.clause.split(":")[0] for failure in caught.value.failures} == {"T11.7"}


class Pinned:
    """A clause of a caller's own, which brings the test roots and judges nothing."""

    name, roots = "test roots", roots()

    def judge(self, evidence, measurement, ledger):
        return ()


@pytest.mark.parametrize("kind", [AZURE_SNP, AZURE_TDX])
@pytest.mark.parametrize("stated", ["11111111-2222-3333-4444-555555555555", "", None, 7])
def test_pcr_6_of_another_vm_than_the_paravisor_states(kind, stated):
    """On Azure the id is all that is in PCR 6: anything else there ran before the image, or is another VM's."""
    vm = SimulatedCloudVm(kind)
    evidence = verified(vm)
    configuration = {**evidence.tee.hcl.configuration, "vmUniqueId": stated}
    other = replace(evidence, tee=replace(evidence.tee, hcl=replace(evidence.tee.hcl, configuration=configuration)))
    with pytest.raises(PolicyError) as caught:
        accept(other, releases=(release(measured=vm.measurement()),), policy=production(kind))
    assert {failure.clause.split(":")[0] for failure in caught.value.failures} == {"L6.pcr6"}


def test_an_id_in_lower_case_is_measured_in_upper_case():
    vm = SimulatedCloudVm(AZURE_SNP)
    vm.tpm.claims["vm-configuration"]["vmUniqueId"] = vm.tpm.vm_id.lower()
    assert accepted(vm)
