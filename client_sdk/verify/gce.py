"""PCR 0 on Google Compute Engine: computed from a version and the machine's confidential technology.

PCR 0 is three events: the firmware's version in words, a block that names the technology, and a separator. So it is no
hash of code: it is what the firmware *claims*. The firmware's identity comes from MRTD or the SNP launch measurement.

(L8.1) PCR 0 is the value for the technology of the CPU's report, in firmware of the given version or later: a VM of
another kind cannot borrow the report of this one.
"""

from __future__ import annotations

from hashlib import sha256

from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.replay import Hash

NONE, SEV, SEV_ES, TDX, SNP = range(5)
TECHNOLOGIES = {"none": NONE, "sev": SEV, "sev-es": SEV_ES, "tdx": TDX, "snp": SNP}
OLDEST = 2  # v1 does not know TDX and SNP
NEWEST = 64  # versions are counted up from 1; v2 is the newest seen


def gce_pcr0(version: int, technology: int, hashed: Hash = sha256) -> bytes:
    """Compute PCR 0 of one bank for a firmware version and a technology."""
    told = (
        f"GCE Virtual Firmware v{version}\0".encode("utf-16-le"),
        b"GCE NonHostInfo\0" + bytes([technology]) + bytes(15),
        bytes(4),
    )
    value = bytes(hashed(b"").digest_size)
    for data in told:
        value = hashed(value + hashed(data).digest()).digest()
    return value


def firmware_version(pcr0: bytes, technology: int) -> int:
    """Return the version of the firmware whose PCR 0 this is on a machine of a technology, or 0; SHA-256 bank."""
    return next((v for v in range(1, NEWEST + 1) if gce_pcr0(v, technology) == pcr0), 0)


@keeps("L8.1")
def verify_gce_pcr0(pcr0: bytes, technology: int, *, oldest: int, ledger: Ledger) -> int:
    """Return the firmware's version after checking that PCR 0 is one of this technology; SHA-256 bank.

    Raises:
        VerificationError: L8.1.
    """
    version = firmware_version(pcr0, technology)
    names = {number: name for name, number in TECHNOLOGIES.items()}
    ledger.holds(
        "L8.1",
        "PCR 0 is that of Google's firmware on a machine of the CPU report's technology",
        expected=(names[technology], "in firmware v", oldest, "or later"),
        got=lambda: _told(pcr0),
        condition=version >= oldest,
    )
    return version


def _told(pcr0: bytes) -> str:
    """Say for people which entry of the table a value is."""
    for version in range(1, NEWEST + 1):
        for name, technology in TECHNOLOGIES.items():
            if gce_pcr0(version, technology) == pcr0:
                return f"{name}, in firmware v{version}"
    return f"none of Google's: {pcr0.hex()}"
