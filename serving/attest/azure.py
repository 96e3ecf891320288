"""Azure: a virtual TPM inside the TEE, in a paravisor that put a persistent attestation key and reports there.

The key is 0x81000003, its certificate lies in NV 0x01C101D0, padded. The CPU's report lies in NV 0x01400001, inside a
report of the paravisor (HCL), which says which key is its own and repeats 64 bytes of the guest's; the guest writes
those to NV 0x01400002, and the paravisor then makes the report anew.

There is no log of the firmware's that a client could judge (rule L6), so none is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from client_sdk.evidence import AZURE, TeeEvidence
from serving.attest.certified import certificate_of
from serving.attest.interface import Identity, Machine
from serving.attest.tpm import Tpm
from serving.errors import SealError

AK, CERTIFICATE, REPORT, USER_DATA = 0x81000003, 0x01C101D0, 0x01400001, 0x01400002
_PARTS = {AK: "attestation key 0x81000003", CERTIFICATE: "certificate NV 0x01c101d0"}
SNP, TDX = 2, 4
_TAIL, _TAIL_OFFSET = Struct("<IIIII"), 1216  # size, version, report type, hash type, size of the runtime data
_TRIES, _PAUSE = 40, 0.25
"""The paravisor makes the report some time after the write; Microsoft's own tools wait for three seconds."""


@dataclass(frozen=True, slots=True)
class AzureCompute:
    """A VM on Azure."""

    name: str = AZURE
    has_event_log: bool = False
    pause: Callable[[float], None] = time.sleep

    def find(self, tpm: Tpm) -> Identity | None:
        """Take the key that Azure certified.

        Raises:
            SealError: key, certificate or report are there without the rest, or the certificate is another key's.
            TpmError: the TPM refuses.
        """
        there = {handle for handle in (AK, CERTIFICATE, REPORT) if tpm.has(handle)}
        if not there:
            return None
        missing = [name for handle, name in _PARTS.items() if handle not in there]
        if missing:
            raise SealError(f"the TPM holds a part of Azure's identity and lacks {', '.join(missing)}; recreate the VM")
        ak = tpm.persistent(AK)
        return Identity(ak, (certificate_of(tpm.read_nv(CERTIFICATE), ak, f"NV {CERTIFICATE:#010x}"),))

    def report(self, tpm: Tpm, machine: Machine, report_data: bytes) -> TeeEvidence | None:
        """Give the 64 bytes to the paravisor and read its report; None where it has none (no confidential VM).

        Raises:
            SealError: the report never names the bytes, or it is one of TDX, whose quote a network service makes.
            TpmError: the TPM refuses.
        """
        _ = machine
        if not tpm.has(REPORT):
            return None
        tpm.write_nv(USER_DATA, report_data)
        for _ in range(_TRIES):
            report = tpm.read_nv(REPORT)
            kind, runtime_data = _runtime_data(report)
            if report_data.hex() in runtime_data.decode("ascii", "replace").lower():
                return _evidence(kind, report)
            self.pause(_PAUSE)
        raise SealError(f"the paravisor's report does not name this boot after {_TRIES * _PAUSE:.0f} s; start again")


def _evidence(kind: int, report: bytes) -> TeeEvidence:
    if kind != SNP:
        message = "this machine's CPU is Intel TDX: its quote is made by a service on Azure's network, which no Vitrine"
        raise SealError(f"{message} VM may reach; take a size with AMD SEV-SNP")
    return TeeEvidence("azure-snp", report, (), b"", b"")


def _runtime_data(report: bytes) -> tuple[int, bytes]:
    """Return the kind of hardware report and the paravisor's claims: enough to see whether they are this boot's."""
    start = _TAIL_OFFSET + _TAIL.size
    if len(report) < start or report[:4] != b"HCLA":
        raise SealError(f"NV {REPORT:#010x} holds no report of a paravisor; recreate the VM")
    *_, kind, _, size = _TAIL.unpack_from(report, _TAIL_OFFSET)
    return kind, report[start : start + size]
