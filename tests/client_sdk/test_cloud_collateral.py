"""Collateral of clouds' CPUs and GPUs: what is missing, expired or too old breaks exactly its rule (T11, G1, G3)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from client_sdk.policy import (
    NvidiaGpu,
    UnsafeWithoutRevocation,
)
from tests.fakes import judging, simulated_tdx
from tests.fakes.judging_cloud import accepted, production, refused, unacceptable
from tests.fakes.simulated_cloud_vm import (
    AZURE_SNP,
    AZURE_TDX,
    DAY,
    DRIVER_RIM,
    FIRMWARE_RIM,
    GCP_SNP,
    GCP_TDX,
    MOMENT,
    SimulatedCloudVm,
    answer,
    other_intel,
    rim_files,
)
from tests.fakes.simulated_snp import AmdCa

CRL = "amd/genoa/crl.der"
TCB_INFO = f"intel/tcb_info-{simulated_tdx.FMSPC.hex()}.json"


def test_no_collateral_for_intels_cpus():
    error = refused(SimulatedCloudVm(GCP_TDX), "T11.1", collateral=None)
    assert "TCB info of 90c06f000000" in str(error)


@pytest.mark.parametrize("kind", [GCP_SNP, AZURE_SNP])
def test_no_collateral_for_amds_cpus(kind):
    unacceptable(SimulatedCloudVm(kind), "T11.amd.4", collateral=None)


def test_no_collateral_for_gpus():
    vm = SimulatedCloudVm(AZURE_SNP, gpus=1)
    unacceptable(vm, "T11.amd.4", "G1.7", "G3.10", collateral=None)


@pytest.mark.parametrize(
    "gone",
    ["intel/qe_identity", TCB_INFO[:-5], "intel/pck_crl-platform.der", "intel/root_crl.der"],
)
def test_a_part_of_intels_collateral_is_missing(gone):
    vm = SimulatedCloudVm(GCP_TDX)
    files = {path: None for path in vm.files() if path.startswith(gone)}
    assert files
    refused(vm, "T11.1", collateral=vm.collateral(**files))


@pytest.mark.parametrize("kind", [GCP_SNP, AZURE_SNP])
@pytest.mark.parametrize("gone", [{CRL: None}, {}])
def test_going_without_amds_list_stands_in_the_report_with_its_reason(kind, gone):
    """Also where a list came: what the policy goes without is what it says, whatever there was by chance."""
    vm, reason = SimulatedCloudVm(kind), UnsafeWithoutRevocation("no way out of here")
    policy = production(kind, snp=replace(production(kind).snp, revocation=reason))
    report = accepted(vm, policy=policy, collateral=vm.collateral(**gone)).report.as_dict()
    told = {check["id"]: check["expected"] for check in report["checks"]}
    assert told["T11.amd.4"] == "none is required: no way out of here"
    word = ["hardware's word for the image (there is the cloud's): a test"] if kind == GCP_SNP else []
    assert report["facts"]["opted_out"] == ["AMD's revocation list: no way out of here", *word]


@pytest.mark.parametrize("kind", [GCP_SNP, AZURE_SNP])
def test_amds_list_is_missing(kind):
    vm = SimulatedCloudVm(kind)
    error = unacceptable(vm, "T11.amd.4", collateral=vm.collateral(**{CRL: None}))
    assert error.failures[0].got == "none for genoa"
    assert "`vitrine collateral fetch` gathers it, --collateral gives it" in str(error)
    unsafe = replace(production(kind).snp, revocation=UnsafeWithoutRevocation("a test"))
    policy = replace(production(kind), snp=unsafe)
    found = accepted(vm, policy=policy, collateral=vm.collateral(**{CRL: None}))
    assert "unsafe: no revocation list" in found.policy


def test_a_chips_certificate_comes_from_evidence_or_collateral():
    vm = SimulatedCloudVm(GCP_SNP)
    vek, chain = vm.snp.certificate(), vm.snp.others()
    tee = replace(vm.evidence(judging.NONCE).tee, certificates=())
    vm.changes["tee"] = tee
    refused(vm, "T11.amd.8")
    path = f"amd/vcek/{vm.snp.chip_id.hex()}-{vm.snp.reported_tcb.hex()}.der"
    assert accepted(vm, collateral=vm.collateral(**{path: vek}))
    vm.changes["tee"] = replace(tee, certificates=(vek,))
    assert accepted(vm)
    refused(vm, "T2.1", collateral=vm.collateral(**{"amd/genoa/ask.der": None}))
    vm.changes["tee"] = replace(tee, certificates=(vek, *chain))
    assert accepted(vm, collateral=vm.collateral(**{"amd/genoa/ask.der": None}))


def test_a_chips_certificate_of_another_chip():
    vm = SimulatedCloudVm(GCP_SNP)
    vm.snp.chip_id = b"\1" * 64
    refused(vm, "T3.5")


def test_a_missing_intermediate_of_the_attestation_key_comes_from_collateral():
    for kind in (GCP_TDX, AZURE_TDX):
        vm = SimulatedCloudVm(kind)
        between, vm.tpm.others = vm.tpm.others[0], ()
        refused(vm, "K1.1")
        path = f"tpm/{sha256(between).hexdigest()}.der"
        assert accepted(vm, collateral=vm.collateral(**{path: between}))
        vm.changes["ak_certificates"] = ()
        refused(vm, "K5.1", collateral=vm.collateral(**{path: between}))


def with_intel(**changes):
    vm = SimulatedCloudVm(GCP_TDX)
    vm.tdx.intel = other_intel(**changes)
    return vm


def dated(document: dict, issued, until):
    return document | {"issueDate": simulated_tdx.instant(issued), "nextUpdate": simulated_tdx.instant(until)}


@pytest.mark.parametrize(
    ("attack", "rule", "issued", "until"),
    [
        ("expired", ("T7.9", "T7.12"), MOMENT - 20 * DAY, MOMENT - DAY),
        ("not valid yet", ("T7.9", "T7.12"), MOMENT + DAY, MOMENT + 20 * DAY),
        ("too old", ("T11.2", "T11.3"), MOMENT - 32 * DAY, MOMENT + 20 * DAY),
    ],
)
def test_intels_statements_are_fresh(attack, rule, issued, until):
    refused(with_intel(tcb_info=dated(simulated_tdx.tcb_info(), issued, until)), rule[0])
    refused(with_intel(qe_identity=dated(simulated_tdx.qe_identity(), issued, until)), rule[1])


@pytest.mark.parametrize(
    ("since", "until"), [(MOMENT - 20 * DAY, MOMENT - DAY), (MOMENT - 40 * DAY, MOMENT + DAY), (MOMENT + DAY,) * 2]
)
def test_intels_lists_are_fresh(since, until):
    vm = with_intel()
    vm.tdx.intel.pck_crl.since, vm.tdx.intel.pck_crl.until = since, until
    refused(vm, "T7.3.2")


@pytest.mark.parametrize(
    "dates", [(MOMENT - 90 * DAY, MOMENT - DAY), (MOMENT - 401 * DAY, MOMENT + DAY), (MOMENT + DAY, MOMENT + 2 * DAY)]
)
def test_amds_list_is_fresh(dates):
    vm = SimulatedCloudVm(AZURE_SNP)
    refused(vm, "T11.amd.2", collateral=vm.collateral(**{CRL: vm.snp.ark.crl(dates=dates)}))


def test_amds_list_of_another_line_is_not_this_ones():
    vm = SimulatedCloudVm(AZURE_SNP)
    other = AmdCa("ARK-Genoa", key=AmdCa("ARK-Milan").key)
    dates = (MOMENT - 30 * DAY, MOMENT + 300 * DAY)
    refused(vm, "T11.amd.1", collateral=vm.collateral(**{CRL: other.crl(dates=dates)}))


def test_a_revoked_intermediate_of_amds():
    vm = SimulatedCloudVm(AZURE_SNP)
    dates = (MOMENT - 30 * DAY, MOMENT + 300 * DAY)
    refused(vm, "T11.amd.3", collateral=vm.collateral(**{CRL: vm.snp.ark.crl(dates=dates, revoked=(0x10001,))}))


def gpu_answers(vm: SimulatedCloudVm, **dates) -> dict[str, bytes]:
    path, told = vm.gpus[0].path(), vm.gpu_evidence()[0]
    return {f"nvidia/ocsp/{sha256(told.certificates[1]).hexdigest()}.der": answer(path[0], path[1], **dates)}


@pytest.mark.parametrize(
    "dates",
    [
        {"made": MOMENT - 3 * DAY, "until": MOMENT - DAY},
        {"made": MOMENT - 8 * DAY, "until": MOMENT + DAY},
        {"made": MOMENT + DAY, "until": MOMENT + 2 * DAY},
    ],
)
def test_answers_about_a_gpu_are_fresh(dates):
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    refused(vm, "G1.6.4", collateral=vm.collateral(**gpu_answers(vm, **dates)))


def test_answers_about_a_gpu_are_missing():
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    gone = dict.fromkeys(gpu_answers(vm))
    unacceptable(vm, "G1.7", collateral=vm.collateral(**gone))
    policy = production(gpu=NvidiaGpu(1, revocation=UnsafeWithoutRevocation("a test")))
    assert "unsafe: no OCSP" in accepted(vm, policy=policy, collateral=vm.collateral(**gone)).policy


@pytest.mark.parametrize("rim", [DRIVER_RIM, FIRMWARE_RIM])
def test_a_rim_file_is_missing(rim):
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    unacceptable(vm, "G3.10", collateral=vm.collateral(**{rim: None}))


def test_answers_about_a_rims_signer_are_missing():
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    gone = {path: None for path in rim_files() if path.startswith("nvidia/ocsp/")}
    unacceptable(vm, "G3.11", collateral=vm.collateral(**gone))


def test_a_gpu_with_other_measurements():
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    vm.gpus[0].measurements[1] = b"\1" * 48
    refused(vm, "G3.7")


def test_two_gpus_share_their_files():
    vm = SimulatedCloudVm(AZURE_SNP, gpus=2)
    signed = [check.id for check in accepted(vm).checks].count("G3.2")
    assert signed == 2, "each file is verified once, for all devices"
