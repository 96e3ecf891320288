"""The paravisor's report: it names this boot, or the boot ends. The paravisor is played on a real software TPM."""

from __future__ import annotations

import json
import struct
from hashlib import sha256

import pytest
from tpm2_pytss.constants import ESYS_TR

from client_sdk.binding import report_data
from serving.attest.azure import AzureCompute
from serving.attest.boot import seal
from serving.attest.interface import Machine
from serving.attest.tpm import Tpm
from serving.errors import SealError
from tests.fakes.cloud_tpm import AZURE_REPORT, AZURE_USER_DATA, make_azure_like, make_ca
from tests.serving.fixtures import start_swtpm

CA = make_ca()
SNP, TDX = 2, 4
BYTES = bytes(range(64))


def hcl_report(user_data, kind=SNP):
    """What the attester looks at in a report; whole ones are in tests/fakes/simulated_cloud_tpm.py."""
    claims = json.dumps({"keys": [], "user-data": user_data.hex().upper()}).encode()
    head = struct.pack("<4sIIII12x", b"HCLA", 2, 1236 + len(claims), 2, 0)
    tail = struct.pack("<IIIII", 20 + len(claims), 1, kind, 1, len(claims))
    return (head + bytes(1184) + tail + claims).ljust(1500, b"\0")


class Paravisor(Tpm):
    """A TPM whose report changes some reads after the guest wrote its bytes."""

    reads, left, kind, wanted = 0, 1000, SNP, bytes(64)

    def write_nv(self, index, data):
        super().write_nv(index, data)
        self.wanted, self.left = data, self.reads

    def put(self, report):
        for offset in range(0, len(report), 500):
            self._esys.nv_write(self._nv(AZURE_REPORT)[0], report[offset : offset + 500], offset, ESYS_TR.OWNER)

    def read_nv(self, index):
        if index == AZURE_REPORT and self.left == 0:
            self.put(hcl_report(self.wanted, self.kind))
        self.left -= index == AZURE_REPORT
        return super().read_nv(index)


@pytest.fixture
def paravisor(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    make_azure_like(state, CA, report=lambda _: hcl_report(bytes(64)))
    process, tcti = start_swtpm(state)
    tpm = Paravisor(tcti)
    yield tpm
    tpm.close()
    process.kill()
    process.wait()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def azure(pauses):
    return AzureCompute(pause=pauses.append)


NOWHERE = Machine(None, b"")


@pytest.mark.parametrize("reads", [0, 1, 39])
def test_the_report_that_names_the_bytes_is_taken_however_late(paravisor, azure, pauses, reads):
    paravisor.reads = reads
    tee = azure.report(paravisor, NOWHERE, BYTES)
    assert (tee.kind, tee.report) == ("azure-snp", hcl_report(BYTES))
    assert (tee.certificates, tee.runtime_data, tee.ccel) == ((), b"", b"")
    assert len(pauses) == reads


def test_the_bytes_lie_where_the_paravisor_takes_them_from_and_can_be_written_again(paravisor, azure):
    azure.report(paravisor, NOWHERE, bytes(64))
    azure.report(paravisor, NOWHERE, BYTES)
    assert paravisor.read_nv(AZURE_USER_DATA) == BYTES


def test_a_sealed_boot_binds_its_key_and_its_pcr_15(paravisor, verdict, tls, machine):
    sealed = seal(paravisor, selfcheck=verdict, tls=tls, root=machine)
    name = b"\x00\x0b" + sha256(sealed.evidence.ak_public).digest()
    expected = report_data(name, sealed.spki, b"", dict(sealed.evidence.pcrs)[15])
    assert paravisor.read_nv(AZURE_USER_DATA) == expected
    assert expected.hex().upper().encode() in sealed.evidence.tee.report


def test_a_report_of_an_earlier_boot_ends_this_one(paravisor, azure, pauses):
    paravisor.reads = 1000
    with pytest.raises(SealError, match="does not name this boot after 10 s"):
        azure.report(paravisor, NOWHERE, BYTES)
    assert sum(pauses) == 10


def test_tdx_is_refused_with_the_next_step_as_its_quote_needs_a_network_service(paravisor, azure):
    paravisor.kind = TDX
    with pytest.raises(SealError, match="take a size with AMD SEV-SNP"):
        azure.report(paravisor, NOWHERE, BYTES)


@pytest.mark.parametrize(
    "report", [b"", b"HCLA", bytes(1500), hcl_report(BYTES)[:1235]], ids=["empty", "cut", "zeros", "without claims"]
)
def test_an_index_that_holds_no_report_ends_the_boot(paravisor, azure, tmp_path, report):
    state = tmp_path / "other"
    state.mkdir()
    make_azure_like(state, CA, report=lambda _: report)
    process, tcti = start_swtpm(state)
    tpm = Tpm(tcti)
    try:
        with pytest.raises(SealError, match="holds no report"):
            azure.report(tpm, NOWHERE, BYTES)
    finally:
        tpm.close()
        process.kill()
        process.wait()


def test_a_vm_without_paravisor_has_no_report_and_its_user_data_is_not_touched(azure, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    make_azure_like(state, CA)
    process, tcti = start_swtpm(state)
    tpm = Tpm(tcti)
    try:
        assert azure.report(tpm, NOWHERE, BYTES) is None
        assert not tpm.has(AZURE_USER_DATA)
    finally:
        tpm.close()
        process.kill()
        process.wait()


def test_bytes_behind_the_claims_are_no_claim(paravisor, azure):
    """A report whose padding names this boot, and whose signed part does not, would be refused by every client."""
    stale = hcl_report(bytes(64))[:1400].rstrip(b"\0") + b"\0" + BYTES.hex().upper().encode()
    paravisor.reads = 1000
    paravisor.put(stale[:1500].ljust(1500, b"\0"))
    with pytest.raises(SealError, match="does not name this boot"):
        azure.report(paravisor, NOWHERE, BYTES)
