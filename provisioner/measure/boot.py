"""How a platform's firmware boots an image, as far as that decides what is measured.

Nothing of it is in the image, and nothing of it is known from a standard alone: for a cloud it comes from a signed file
(``provisioner/platform_values.py``), for the local VM from the firmware of the tools tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.errors import MeasureError
from provisioner.measure.secure_boot import SecureBootVariables

BOOT_PCR, DEVICE_PCR = 4, 2
GOLDEN_PCRS = (1, 2, 3, 6)
_PCR_SIZE = 32
NO_VARIABLES = SecureBootVariables()


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """One firmware in one boot mode; the defaults are OVMF's of the tools tree, without keys.

    ``signer`` is the certificate (DER) whose key signs the UKI, due where Secure Boot is on. ``image_pcr`` is where the
    disk's image goes: 4, and its partition table to 5; or 2 for both, where firmware takes the disk for a device's own
    (rule L10). ``golden`` are PCR values as firmware leaves them *before* the image; without one for 2, 3 or 6, nothing
    but the separator is predicted there. ``tdx`` says that RTMR1 and RTMR2 are predicted too.

    Raises:
        MeasureError: these do not go together.
    """

    variables: SecureBootVariables = NO_VARIABLES
    signer: bytes = b""
    image_pcr: int = BOOT_PCR
    golden: tuple[tuple[int, bytes], ...] = ()
    tdx: bool = False

    def __post_init__(self) -> None:
        if self.image_pcr not in (BOOT_PCR, DEVICE_PCR):
            raise MeasureError(f"no firmware measures the image of a disk into PCR {self.image_pcr}; expected 4 or 2")
        if self.variables.is_on and not self.signer:
            raise MeasureError("Secure Boot is on and nobody signs the UKI: it would not start; name the signer")
        for pcr, value in self.golden:
            if pcr not in GOLDEN_PCRS or len(value) != _PCR_SIZE:
                raise MeasureError(f"PCR {pcr}: a golden value has {_PCR_SIZE} bytes, and is for PCR 1, 2, 3 or 6")

    @property
    def table_pcr(self) -> int:
        """Where the partition table goes."""
        return 5 if self.image_pcr == BOOT_PCR else DEVICE_PCR
