"""The CPU's own report, through the kernel's configfs (``tsm``): AMD SEV-SNP and Intel TDX alike.

The initrd mounts configfs and makes one entry there where the CPU is a TEE; the entry's input belongs to the attester.
64 bytes are written to ``inblob``; reading ``outblob`` asks the hardware, ``auxblob`` holds certificates where the
host has some. Linux, Documentation/ABI/testing/configfs-tsm.
"""

from __future__ import annotations

from pathlib import Path

from client_sdk.evidence import TeeEvidence
from serving.attest import snp
from serving.attest.interface import Machine
from serving.errors import SealError

ENTRY = "sys/kernel/config/tsm/report/vitrine"
DEVICES = ("dev/tdx_guest", "dev/sev-guest")
REPORT_DATA_SIZE = 64
_MAX_BLOB = 64 * 1024
_KINDS = {"sev_guest": "snp", "tdx_guest": "tdx"}


def make_report(machine: Machine, report_data: bytes) -> TeeEvidence | None:
    """Return the report over 64 bytes, or None on a machine whose CPU is no TEE.

    It proves nothing by itself: a client verifies who signed it, and that it names this boot.

    Raises:
        SealError: the CPU is a TEE, and no report can be had or it does not belong to this request.
    """
    devices = [name for name in DEVICES if (machine.root / name).exists()]
    entry = machine.root / ENTRY
    if not devices and not entry.exists():
        return None
    try:
        kind = _KINDS.get(provider := (entry / "provider").read_text("ascii").strip())
        if kind is None:
            raise SealError(f"the kernel's provider of TEE reports is {provider!r}, which no rule knows")
        report, certificates = _ask(entry, report_data)
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise SealError(f"{', '.join(devices) or ENTRY}: no TEE report ({what}); restart the VM") from error
    if kind == "tdx":
        if not machine.ccel:
            raise SealError("the firmware of this TDX machine has no CCEL log; its registers could not be judged")
        return TeeEvidence(kind, report, (), b"", machine.ccel)
    return TeeEvidence(kind, report, snp.certificates(certificates), b"", b"")


def _ask(entry: Path, report_data: bytes) -> tuple[bytes, bytes]:
    """Write, read, and see by the kernel's count of writes that nobody else wrote in between."""
    if len(report_data) != REPORT_DATA_SIZE:
        raise ValueError(f"{len(report_data)} bytes in place of {REPORT_DATA_SIZE}")
    before = _generation(entry)
    # One write, unbuffered: the kernel takes what one call brings.
    with (entry / "inblob").open("wb", buffering=0) as file:
        file.write(report_data)
    report = _read(entry / "outblob")
    auxiliary = _read(entry / "auxblob") if (entry / "auxblob").exists() else b""
    if _generation(entry) != before + 1:
        raise ValueError("somebody else used the entry in between")
    if not report:
        raise ValueError("it is empty")
    return report, auxiliary


def _generation(entry: Path) -> int:
    return int((entry / "generation").read_text("ascii"))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_BLOB + 1)
    if len(data) > _MAX_BLOB:
        raise ValueError(f"{path.name} is longer than {_MAX_BLOB} bytes")
    return data
