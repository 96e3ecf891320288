"""Parts of two machines, or of two boots, never pass together (C6, T1, C2, G2, L11): each mixture breaks one rule."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from client_sdk.collateral import collateral_of
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.evidence import GpuEvidence, RuntimeEvent
from client_sdk.parse.rim import parse_rim
from client_sdk.roots import Roots
from client_sdk.verifier import verify
from client_sdk.verify.activation import Activation, ActivationState
from client_sdk.verify.chain import VerifiedPaths
from tests.fakes.boot_log import IMAGE, change
from tests.fakes.judging import NONCE, OTHERS, rules
from tests.fakes.judging_cloud import accepted, mixed, refused, unacceptable, verified
from tests.fakes.simulated_cloud_tpm import AzureTpm, gce_log
from tests.fakes.simulated_cloud_vm import (
    AZURE_SNP,
    AZURE_TDX,
    DAY,
    GCP_SNP,
    GCP_TDX,
    KINDS,
    MOMENT,
    SimulatedCloudVm,
    answer,
    roots,
)
from tests.fakes.simulated_nvidia import SimulatedGpu, SimulatedRim, rim_root
from tests.fakes.simulated_vm import NOW, SimulatedVm, default_ca, ec_key, tls_certificate

AZURES, GCPS = (AZURE_SNP, AZURE_TDX), (GCP_SNP, GCP_TDX)
CONTROLS = [(kind, gpus) for kind in KINDS for gpus in (0, 1)] + [(AZURE_SNP, 2)]


@pytest.mark.parametrize(("kind", "gpus"), CONTROLS)
def test_control_is_accepted(kind, gpus):
    found = accepted(SimulatedCloudVm(kind, gpus=gpus))
    report = found.report.as_dict()
    assert {check["verdict"] for check in report["checks"]} == {"ok"}
    assert (found.evidence.simulated, len(found.evidence.gpus)) == (False, gpus)
    assert found.evidence.tee.kind == kind.partition("-")[2]


@pytest.mark.parametrize(("kind", "gpus"), CONTROLS)
def test_what_was_not_run_is_said_and_never_passed(kind, gpus):
    report = accepted(SimulatedCloudVm(kind, gpus=gpus)).report.as_dict()
    ids = {check["id"] for check in report["checks"]}
    absent = {"gcp": {"K4.1", "L6.1", "Q8.3", "T1.user"}, "azure": {"K3.1", "L8.1", "L10.2", "T9.2", "L1.0"}}
    assert not ids & absent[kind.partition("-")[0]]
    assert not ids & ({"T6.5", "T7.8"} if kind.endswith("snp") else {"T2.13", "T4.8"})
    assert ("G2.2" in ids) is bool(gpus)
    told = " ".join(row["rules"] for row in report["not_run"])
    assert ("G1" in told, "T6" in told, "T2 to" in told) == (not gpus, kind.endswith("snp"), kind.endswith("tdx"))


def test_a_switch_alone_where_the_release_says_gpus():
    """NVSwitches have fewer files and no mode: they are not what a release means by GPUs."""
    released = SimulatedCloudVm(GCP_TDX, gpus=1).measurement()
    vm = SimulatedCloudVm(GCP_TDX)
    vm.gpus = [SimulatedGpu.switch()]
    files = {name: data for name, data in vm.files().items() if "rim" not in name} | switch_firmware()
    collateral = collateral_of(files, gathered_at=MOMENT)
    unacceptable(vm, "L11.3", measured=released, collateral=collateral)
    both = SimulatedCloudVm(GCP_TDX, gpus=1)
    both.gpus.append(SimulatedGpu.switch())
    assert accepted(both, measured=released, collateral=collateral_of(both.files() | files, gathered_at=MOMENT))


def switch_firmware() -> dict[str, bytes]:
    """Return the RIM file of a switch's firmware, and what OCSP says of its signers."""
    golden = {index: (SimulatedGpu.switch().measurements[index + 1],) for index in range(8)}
    rim = SimulatedRim("96.10.55.00.01", golden=golden)
    rim.edition, rim.signer_dates = "SWITCH", (MOMENT - 100 * DAY, MOMENT + 600 * DAY)
    chain = (rim.signer, rim.authority, rim_root())
    told = parse_rim(rim.data(), "rim").signature.certificates[:2]
    answers = {
        f"nvidia/ocsp/{sha256(der).hexdigest()}.der": answer(chain[i], chain[i + 1]) for i, der in enumerate(told)
    }
    return answers | {"nvidia/rim/NV_SWITCH_BIOS_5612_0002_890_9610550001.xml": rim.data()}


def another(vm: SimulatedCloudVm, **options) -> SimulatedCloudVm:
    return SimulatedCloudVm(vm.kind, "other", gpus=len(vm.gpus), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_certificate_of_another_vms_attestation_key(kind):
    vm = SimulatedCloudVm(kind)
    refused(vm, "K5.2", evidence=mixed(vm, another(vm), "ak_certificates"))


@pytest.mark.parametrize("kind", KINDS)
def test_another_vms_attestation_key(kind):
    vm = SimulatedCloudVm(kind)
    refused(vm, "Q6.2", evidence=mixed(vm, another(vm), "ak_public", "ak_certificates"))


@pytest.mark.parametrize("kind", KINDS)
def test_another_vms_tls_key(kind):
    vm = SimulatedCloudVm(kind)
    refused(vm, "C2.2", evidence=mixed(vm, another(vm), "tls_certificate"))


@pytest.mark.parametrize(("kind", "rule"), [(GCP_SNP, "T1.1"), (GCP_TDX, "T1.1"), (AZURE_SNP, "T1.ak")])
def test_another_vms_report(kind, rule):
    """The host quotes with the TPM of a VM of its own, and shows the report of somebody's honest VM."""
    vm = SimulatedCloudVm(kind)
    refused(vm, rule, evidence=mixed(vm, another(vm), "tee"))


def test_another_vms_quote_under_the_same_report():
    vm = SimulatedCloudVm(AZURE_TDX)
    refused(vm, "T1.ak", evidence=mixed(vm, another(vm), "tee"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_that_binds_an_attestation_key_alone(kind):
    vm = SimulatedCloudVm(kind)
    vm.told_report_data = vm.tpm.ak_name().ljust(64, b"\0")
    refused(vm, "T1.1" if kind in GCPS else "T1.user")


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_for_another_tls_key(kind):
    """A TPM that signs for anybody does not help: the CPU's report names the key of the VM."""
    vm, other = SimulatedCloudVm(kind), SimulatedCloudVm(kind)
    other.tls = ec_key("relay")
    other.tls_certificate = tls_certificate(other.tls)
    refused(vm, "T1.1" if kind in GCPS else "T1.user", evidence=mixed(other, vm, "tee"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_of_another_boot(kind):
    """The same keys, but another PCR 15: what was sealed then is not what is sealed now."""
    vm, before = SimulatedCloudVm(kind), SimulatedCloudVm(kind)
    before.runtime = [*before.runtime_log()]
    before.runtime[0] = RuntimeEvent("lockdown", b"failed")
    refused(vm, "T1.1" if kind in GCPS else "T1.user", evidence=mixed(vm, before, "tee"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_runtime_log_of_another_boot(kind):
    vm, before = SimulatedCloudVm(kind), SimulatedCloudVm(kind)
    before.runtime = [*before.runtime_log()]
    before.runtime[0] = RuntimeEvent("lockdown", b"failed")
    refused(vm, "L1.15", evidence=mixed(vm, before, "runtime_log"))


@pytest.mark.parametrize("kind", KINDS)
def test_another_vms_gpu(kind):
    vm = SimulatedCloudVm(kind, gpus=1)
    refused(vm, "C2.2", evidence=mixed(vm, another(vm), "gpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_another_vms_gpu_measured_as_its_own(kind):
    """It is in the quote, in PCR 15 and in the CPU's report, but it answered another VM's nonce."""
    vm = SimulatedCloudVm(kind, gpus=1)
    vm.told_gpus = another(vm).gpu_evidence()
    refused(vm, "G2.2")


@pytest.mark.parametrize("kind", KINDS)
def test_one_gpu_counted_twice(kind):
    vm = SimulatedCloudVm(kind, gpus=1)
    vm.told_gpus = vm.gpu_evidence() * 2
    refused(vm, "G3.12")


@pytest.mark.parametrize("kind", KINDS)
def test_gpu_evidence_that_was_taken_after_sealing(kind):
    vm = SimulatedCloudVm(kind, gpus=1)
    vm.runtime = [*vm.runtime_log()]
    vm.runtime[2] = RuntimeEvent("gpu", b"none")
    refused(vm, "G5.1")


@pytest.mark.parametrize("kind", KINDS)
def test_gpu_evidence_that_is_kept_back(kind):
    vm = SimulatedCloudVm(kind, gpus=1)
    vm.changes["gpu"] = ()
    refused(vm, "C2.2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_that_nobody_measured(kind):
    vm = SimulatedCloudVm(kind)
    vm.changes["gpu"] = SimulatedCloudVm(kind, gpus=1).gpu_evidence()
    refused(vm, "C2.2")


def test_the_paravisor_of_another_vm():
    vm = SimulatedCloudVm(AZURE_TDX)
    mine, theirs = vm.evidence(NONCE, OTHERS), another(vm).evidence(NONCE, OTHERS)
    swapped = replace(mine, tee=replace(mine.tee, runtime_data=theirs.tee.runtime_data))
    refused(vm, "T1.1", evidence=swapped)
    swapped = replace(mine, tee=replace(mine.tee, report=theirs.tee.report))
    refused(vm, "T1.1", evidence=swapped)


def test_a_paravisors_report_under_the_cpu_report_of_another():
    vm = SimulatedCloudVm(AZURE_SNP)
    mine, theirs = vm.evidence(NONCE, OTHERS), another(vm).evidence(NONCE, OTHERS)
    theirs_report = theirs.tee.report[:1216] + mine.tee.report[1216:]
    refused(vm, "T1.1", evidence=replace(mine, tee=replace(mine.tee, report=theirs_report)))


def test_a_key_that_the_paravisor_does_not_name():
    vm = SimulatedCloudVm(AZURE_SNP)
    assert isinstance(vm.tpm, AzureTpm)
    vm.tpm.claims["keys"] = AzureTpm("another").claims["keys"][1:]
    refused(vm, "T1.ak")


def test_the_kind_of_report_is_not_what_the_evidence_says():
    vm = SimulatedCloudVm(AZURE_SNP)
    tee = replace(vm.evidence(NONCE, OTHERS).tee, report=SimulatedCloudVm(AZURE_TDX).evidence(NONCE).tee.runtime_data)
    refused(vm, "T1.kind", evidence=replace(vm.evidence(NONCE, OTHERS), tee=tee))


@pytest.mark.parametrize("kind", KINDS)
def test_quote_and_report_are_swapped(kind):
    vm = SimulatedCloudVm(kind)
    mine = vm.evidence(NONCE, OTHERS)
    swapped = replace(
        mine, quote=replace(mine.quote, attest=mine.tee.report[:4000]), tee=replace(mine.tee, report=mine.quote.attest)
    )
    with pytest.raises(EvidenceError):
        verified(vm, evidence=swapped)


def test_quote_and_runtime_data_are_swapped():
    vm = SimulatedCloudVm(AZURE_TDX)
    mine = vm.evidence(NONCE, OTHERS)
    tee = replace(mine.tee, report=mine.tee.runtime_data, runtime_data=mine.tee.report)
    with pytest.raises(EvidenceError):
        verified(vm, evidence=replace(mine, tee=tee))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("part", "rule"), [("ak_certificates", "K5.1"), ("tee", "C6.2")])
def test_a_part_is_missing(kind, part, rule):
    vm = SimulatedCloudVm(kind)
    vm.changes[part] = None if part == "tee" else ()
    refused(vm, rule)


@pytest.mark.parametrize(
    ("kind", "part"), [(GCP_SNP, "report"), (GCP_TDX, "ccel"), (AZURE_SNP, "report"), (AZURE_TDX, "runtime_data")]
)
def test_a_part_of_the_report_is_missing(kind, part):
    vm = SimulatedCloudVm(kind)
    mine = vm.evidence(NONCE, OTHERS)
    refused(vm, "C6.1", evidence=replace(mine, tee=replace(mine.tee, **{part: b""})))


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        *[(GCP_SNP, part) for part in ("runtime_data", "ccel")],
        *[(GCP_TDX, part) for part in ("runtime_data", "certificates")],
        *[(AZURE_SNP, part) for part in ("runtime_data", "ccel")],
        *[(AZURE_TDX, part) for part in ("certificates", "ccel")],
    ],
)
def test_a_part_of_the_report_that_nothing_binds(kind, part):
    vm = SimulatedCloudVm(kind)
    mine = vm.evidence(NONCE, OTHERS)
    extra = (b"extra",) if part == "certificates" else b"extra"
    refused(vm, "C6", evidence=replace(mine, tee=replace(mine.tee, **{part: extra})))


@pytest.mark.parametrize("kind", KINDS)
def test_an_endorsement_key_that_nothing_binds(kind):
    vm = SimulatedCloudVm(kind)
    vm.changes["ek_certificates"] = (default_ca().der,)
    refused(vm, "C6")


def test_an_activation_that_nothing_binds():
    vm = SimulatedCloudVm(GCP_TDX)
    activation = Activation(ActivationState(bytes(32), b"", b""), bytes(32))
    with pytest.raises(VerificationError, match=r"\[C6\]"):
        verify(vm.evidence(NONCE), roots=roots(), nonce=NONCE, now=NOW, activation=activation)


@pytest.mark.parametrize("kind", AZURES)
def test_a_log_where_a_platform_gives_none(kind):
    vm = SimulatedCloudVm(kind)
    vm.changes["event_log"] = SimulatedCloudVm(GCP_TDX).evidence(NONCE).event_log
    refused(vm, "L6.1")


@pytest.mark.parametrize("kind", GCPS)
@pytest.mark.parametrize("claims", ["gcp-snp", "gcp-tdx", "azure-snp", "azure-tdx", "sgx", ""])
def test_a_report_of_another_kind_than_the_platform_has(kind, claims):
    vm = SimulatedCloudVm(kind)
    mine = vm.evidence(NONCE, OTHERS)
    refused(vm, "C6.2", evidence=replace(mine, tee=replace(mine.tee, kind=claims)))


@pytest.mark.parametrize(("kind", "technology"), [(GCP_SNP, 0), (GCP_SNP, 3), (GCP_TDX, 0), (GCP_TDX, 4)])
def test_firmware_of_a_machine_of_another_kind(kind, technology):
    """A VM that is not confidential cannot borrow the report of one that is."""
    vm = SimulatedCloudVm(kind)
    vm.log = gce_log(technology=technology, image_pcr=4)
    refused(vm, "L8.1")


def test_firmware_that_knows_no_confidential_machine():
    vm = SimulatedCloudVm(GCP_TDX)
    vm.log = gce_log(technology=3, version="1", image_pcr=4)
    refused(vm, "L8.1")


def test_a_log_of_another_familys_firmware():
    vm = SimulatedCloudVm(GCP_TDX)
    vm.log = SimulatedVm().log
    refused(vm, "L2.0")


def test_a_td_log_that_does_not_replay():
    vm = SimulatedCloudVm(GCP_TDX)
    other = SimulatedCloudVm(GCP_TDX)
    other.td_log = [event for event in other.td_log if event.data != b"command line"]
    mine, theirs = vm.evidence(NONCE, OTHERS), other.evidence(NONCE, OTHERS)
    refused(vm, "T9.4", evidence=replace(mine, tee=replace(mine.tee, ccel=theirs.tee.ccel)))


@pytest.mark.parametrize("kind", GCPS)
def test_an_image_that_is_not_in_the_quote(kind):
    vm = SimulatedCloudVm(kind)
    told = SimulatedCloudVm(kind)
    change(told.log, 4, IMAGE, digest=b"\1" * 32)
    refused(vm, "L1.4", evidence=mixed(vm, told, "event_log"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_local_platform_takes_nothing_of_a_clouds(kind):
    vm = SimulatedCloudVm(kind)
    vm.platform = "local-qemu"
    refused(vm, "D1")
    simulated = replace(roots(), simulated=True)
    assert rules(refused(vm, "T11", anchors=simulated)) == ["T11"]
    refused(vm, "C6", anchors=simulated, collateral=None)


def test_devices_without_a_certificate():
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    vm.told_gpus = (GpuEvidence(vm.gpu_evidence()[0].evidence, ()),)
    with pytest.raises(EvidenceError, match="certificates"):
        verified(vm)


@pytest.mark.parametrize("kind", KINDS)
def test_paths_that_a_caller_keeps_change_no_verdict(kind):
    vm, paths = SimulatedCloudVm(kind, gpus=1), VerifiedPaths()
    mine, collateral = vm.evidence(NONCE, OTHERS), vm.collateral()
    options = {"roots": roots(), "now": NOW, "collateral": collateral, "paths": paths}
    cold, warm = (verify(mine, nonce=NONCE, **options) for _ in range(2))
    assert [row[:2] for row in cold.rows] == [row[:2] for row in warm.rows]
    with pytest.raises(VerificationError, match=r"\[C2.2\]"):
        verify(mine, nonce=bytes(32), **options)
    with pytest.raises(VerificationError, match=r"\[K1.1\]"):
        verify(mine, nonce=NONCE, **options | {"roots": Roots(simulated=False)})
