"""Each clause of production, over whole evidence: a weakness breaks exactly its rule, and more can be asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from client_sdk.clauses.snp import SnpDenyList, SnpRevocation
from client_sdk.clauses.tdx import CrlFloor, DenyList, EvaluationFloor
from client_sdk.errors import EvidenceError
from client_sdk.evidence import GpuEvidence
from client_sdk.parse.snp import FirmwareVersion, Product, Tcb
from client_sdk.policies.tee import MIN_TCB
from client_sdk.policy import (
    AnyValue,
    AzureCloud,
    CloudVouchedBoot,
    Count,
    GoogleCloud,
    Grace,
    MaxAge,
    NvidiaGpu,
    OneOf,
    Setting,
    SevSnp,
    Tdx,
)
from client_sdk.roots import Roots, anchors
from tests.fakes import simulated_tdx
from tests.fakes.judging_cloud import accepted, production, refused, unacceptable, verified
from tests.fakes.simulated_cloud_vm import (
    AZURE_SNP,
    AZURE_TDX,
    DAY,
    GCP_SNP,
    GCP_TDX,
    MOMENT,
    SimulatedCloudVm,
    roots,
)
from tests.fakes.simulated_vm import default_ca


def snp(**knobs):
    def change(vm):
        for name, value in knobs.items():
            setattr(vm.snp, name, value)

    return change


LOW = bytes([10, 0, 0, 0, 0, 0, 22, 84])


@pytest.mark.parametrize("kind", [GCP_SNP, AZURE_SNP])
@pytest.mark.parametrize(
    ("attack", "rules", "change"),
    [
        ("the host may debug it", ("T4.8",), snp(policy=0x3001F | 1 << 19)),
        ("a migration agent", ("T4.9",), snp(policy=0x3001F | 1 << 18)),
        ("less privileged code asked", ("T4.13",), snp(vmpl=1)),
        ("no check for aliased memory", ("T4.14",), snp(platform_info=0x5)),
        ("old firmware", ("T4.16",), snp(current_version=(29, 54, 1), committed_version=(29, 54, 1))),
        ("outdated when launched", ("T4.19",), snp(launch_tcb=LOW)),
        ("may be rolled back", ("T4.18",), snp(committed_tcb=LOW)),
        ("the host's own data", ("T5.2",), snp(host_data=b"\1" * 32)),
        ("an author key", ("T5.4",), snp(author_key_digest=b"\1" * 48, flags=1)),
        ("an author key that no flag tells of", ("T5.4", "T5.5"), snp(author_key_digest=b"\1" * 48)),
        ("other firmware", ("T5.1",), snp(measurement=b"\1" * 48)),
    ],
)
def test_a_weak_snp_machine(kind, attack, rules, change):
    vm = SimulatedCloudVm(kind)
    released = vm.measurement()
    change(vm)
    expected = (*rules, "T5.6") if kind == AZURE_SNP and "T5.1" in rules else rules
    unacceptable(vm, *expected, measured=released)


@pytest.mark.parametrize(
    ("clause", "rule"),
    [
        (SevSnp(min_tcb=MIN_TCB | {Product.GENOA: Tcb(0, 10, 0, 24, 84)}), ("T4.17", "T4.18", "T4.19")),
        (SevSnp(min_tcb={Product.MILAN: MIN_TCB[Product.MILAN]}), ("T4.17", "T4.18", "T4.19")),
        (SevSnp(min_firmware=FirmwareVersion(1, 56, 0)), ("T4.16",)),
        (SevSnp(smt=Setting.FORBIDDEN), ("T4.10",)),
        (SevSnp(single_socket=Setting.REQUIRED), ("T4.11",)),
        (SevSnp(ciphertext_hiding=Setting.REQUIRED), ("T4.15",)),
        (SevSnp(revocation=SnpRevocation(required=True, highest_seen=6)), ("T11.amd.5",)),
        (
            SevSnp(
                deny=SnpDenyList(
                    frozenset({_chip := SimulatedCloudVm(AZURE_SNP).snp.chip_id}), frozenset(), frozenset()
                )
            ),
            ("T11.amd.6",),
        ),
        (SevSnp(id_key_digest=OneOf((bytes(48),))), ("T5.3",)),
    ],
)
def test_snp_can_be_asked_for_more(clause, rule):
    unacceptable(SimulatedCloudVm(AZURE_SNP), *rule, policy=production(snp=clause))


def test_on_google_cloud_hardware_names_no_image_of_an_snp_machine():
    vm = SimulatedCloudVm(GCP_SNP)
    unacceptable(vm, "T10.1", policy=production())
    found = accepted(vm, policy=production(snp=SevSnp(boot=CloudVouchedBoot("a test"))))
    (row,) = [check for check in found.report.as_dict()["checks"] if check["id"] == "T10.1"]
    assert row["got"] == "image: the cloud's word"
    assert "image: the cloud's word" in found.policy
    with pytest.raises(EvidenceError, match="reason"):
        CloudVouchedBoot(" ")


@pytest.mark.parametrize("kind", [GCP_TDX, AZURE_TDX])
@pytest.mark.parametrize(
    ("attack", "rule", "path", "value"),
    [
        ("the host may debug it", "T8.5", "attributes", simulated_tdx.ATTRIBUTES | 1),
        ("it can be moved", "T8.6", "attributes", simulated_tdx.ATTRIBUTES | 1 << 29),
        ("performance counters", "T8.7", "attributes", simulated_tdx.ATTRIBUTES | 1 << 63),
        ("pages can be taken away unnoticed", "T8.8", "attributes", 0),
        ("a configuration of the host's", "T8.16", "mr_config_id", b"\1" * 48),
        ("an owner", "T8.17", "mr_owner", b"\1" * 48),
        ("an owner's configuration", "T8.18", "mr_owner_config", b"\1" * 48),
        ("an outdated platform", "T7.21", "components", bytes((2, 2, 2, 2, 3, 1, 0, 5)) + bytes(8)),
        ("an outdated TDX module", "T7.21", "tee_tcb_svn", bytes((4, 1, 3)) + bytes(13)),
    ],
)
def test_a_weak_tdx_machine(kind, attack, rule, path, value):
    vm = SimulatedCloudVm(kind)
    vm.tdx.change(path, value)
    unacceptable(vm, rule)


def test_a_platform_below_every_level():
    vm = SimulatedCloudVm(GCP_TDX)
    vm.tdx.components = bytes(16)
    unacceptable(vm, "T7.20", "T7.21")


def test_an_outdated_platform_is_taken_for_a_while_by_who_says_so():
    vm = SimulatedCloudVm(GCP_TDX)
    vm.tdx.components = bytes((2, 2, 2, 2, 3, 1, 0, 5)) + bytes(8)
    grace = Grace("OutOfDate", MOMENT + DAY)
    found = accepted(vm, policy=production(tdx=Tdx(accepted_tcb=(grace,))))
    assert found.evidence.tee.report.tcb.status == "OutOfDate"
    unacceptable(vm, "T7.21", policy=production(tdx=Tdx(accepted_tcb=(replace(grace, until=MOMENT - DAY),))))


@pytest.mark.parametrize(
    ("clause", "rule"),
    [
        (Tdx(evaluation=EvaluationFloor(18, 17)), "T7.22"),
        (Tdx(evaluation=EvaluationFloor(17, 18)), "T7.23"),
        (Tdx(revocation=CrlFloor(2, 0)), "T11.4"),
        (Tdx(revocation=CrlFloor(0, 2)), "T11.5"),
        (Tdx(deny=DenyList(frozenset({simulated_tdx.PPID}))), "T11.6"),
    ],
)
def test_tdx_can_be_asked_for_more(clause, rule):
    unacceptable(SimulatedCloudVm(GCP_TDX), rule, policy=production(tdx=clause))


@dataclass(frozen=True)
class OlderStatements:
    """A caller's own policy: production's clauses, over evidence verified with longer ages."""

    roots: Roots
    name = "older statements"

    def judge(self, evidence, measurement, ledger):
        return production().judge(evidence, measurement, ledger)


def test_ages_can_be_shorter_and_are_never_longer():
    vm = SimulatedCloudVm(GCP_TDX)
    longer = replace(roots(), ages=replace(roots().ages, tcb_info=timedelta(days=60)))
    assert production(roots=longer).roots.ages == roots().ages
    assert accepted(vm, policy=production(roots=longer, max_age=MaxAge(longer.ages))).policy == "production"
    unacceptable(vm, "T11.7", policy=OlderStatements(longer))
    week = MaxAge(replace(roots().ages, tcb_info=timedelta(days=7)))
    assert accepted(vm, policy=production(max_age=week))
    shorter = replace(roots(), ages=replace(roots().ages, tcb_info=timedelta(days=1)))
    refused(vm, "T11.2", anchors=shorter)


@pytest.mark.parametrize(
    ("clause", "rule"),
    [
        ({"project": "another", "zones": ("us-central1-a",)}, "K3.4"),
        ({"project": 1, "zones": ("us-central1-a",)}, "K3.3"),
        ({"project": ("another", 1), "zones": ("us-central1-a",)}, "K3.4"),
        ({"project": "vitrine-test", "zones": ("europe-west4-a",)}, "K3.5"),
        ({"project": "vitrine-test", "zones": AnyValue("a test"), "instance_ids": (1,)}, "K3.6"),
        ({"project": "vitrine-test", "zones": AnyValue("a test"), "instance_names": ("x",)}, "K3.7"),
        ({"project": "vitrine-test", "zones": AnyValue("a test"), "oldest_firmware": 3}, "L8.2"),
    ],
)
def test_whose_machine_it_is_on_google_cloud(clause, rule):
    vm = SimulatedCloudVm(GCP_TDX)
    for project in ("vitrine-test", 117478743145, ("x", 117478743145), ("vitrine-test", 1)):
        assert accepted(vm, policy=production(google=GoogleCloud(project=project, zones=("us-central1-a",))))
    unacceptable(vm, rule, policy=production(google=GoogleCloud(**clause)))


@pytest.mark.parametrize("empty", [{"project": ()}, {"zones": ()}, {"instance_ids": ()}])
def test_an_empty_list_is_refused_when_it_is_made(empty):
    with pytest.raises(EvidenceError, match="empty"):
        GoogleCloud(**{"project": "x", "zones": ("y",)} | empty)


@pytest.mark.parametrize(
    ("clause", "rule"),
    [
        (AzureCloud(vm_ids=("26f8bc30-774e-4290-8e7a-535f3b672aee",)), "T1.vm"),
        (AzureCloud(console_enabled=OneOf((True,))), "T1.console"),
        (AzureCloud(secure_boot=OneOf((False,))), "T1.secure-boot"),
        (AzureCloud(tpm_persisted=OneOf((False,))), "T1.persisted"),
        (AzureCloud(root_thumbprint=OneOf(("x",))), "T1.thumbprint"),
    ],
)
@pytest.mark.parametrize("kind", [AZURE_SNP, AZURE_TDX])
def test_what_a_paravisor_states_can_be_asked_for(kind, clause, rule):
    unacceptable(SimulatedCloudVm(kind), rule, policy=production(azure=clause))


def test_a_paravisor_is_known_by_the_key_that_signed_it():
    vm = SimulatedCloudVm(AZURE_SNP)
    unnamed = replace(vm.measurement(), launch_measurements=())
    known = production(azure=AzureCloud(id_key_digests=(vm.snp.id_key_digest,)))
    assert accepted(vm, policy=known, measured=unnamed)
    other = production(azure=AzureCloud(id_key_digests=(b"\1" * 48,)))
    unacceptable(vm, "T5.6", policy=other, measured=unnamed)


@pytest.mark.parametrize("anything", [AnyValue("whatever"), (b"",), ("any",), None, (bytes(48),)])
def test_any_paravisor_is_refused_when_it_is_said(anything):
    with pytest.raises(EvidenceError, match="T5"):
        AzureCloud(id_key_digests=anything)


@pytest.mark.parametrize(
    ("gpus", "due", "fine"),
    [
        (1, 1, True),
        (2, 1, False),
        (1, 2, False),
        (0, 0, True),
        (0, 1, False),
        (2, Count(1, 4), True),
        (1, Count(2, 4), False),
    ],
)
def test_as_many_gpus_as_are_due(gpus, due, fine):
    vm, policy = SimulatedCloudVm(AZURE_SNP, gpus=gpus), production(gpu=NvidiaGpu(due))
    if fine:
        assert len(accepted(vm, policy=policy).evidence.gpus) == gpus
    else:
        unacceptable(vm, "G4.1", policy=policy)


def test_gpus_can_be_named():
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    (gpu,) = verified(vm).gpus
    assert accepted(vm, policy=production(gpu=NvidiaGpu(1, devices=frozenset({gpu.device.device}))))
    unacceptable(vm, "G4.3", policy=production(gpu=NvidiaGpu(1, devices=frozenset({bytes(32)}))))


def test_a_driver_that_states_no_mode():
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    del vm.gpus[0].opaque[36]
    unacceptable(vm, "G4.4")
    modes = frozenset({"unstated"})
    assert accepted(vm, policy=production(gpu=NvidiaGpu(1, modes=modes)))


def test_a_gpu_of_somebody_elses_making():
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    other = anchors(default_ca().der)
    refused(vm, "G1.1.1", anchors=replace(roots(), nvidia=other))
    assert isinstance(vm.gpu_evidence()[0], GpuEvidence)
