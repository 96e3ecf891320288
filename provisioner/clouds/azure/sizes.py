"""Which sizes of VM are confidential with evidence that a client can judge, and why the others are refused.

Sources: the size series' pages under learn.microsoft.com/azure/virtual-machines/sizes (NCCads_H100_v5, DCasv5,
DCadsv5, ECasv5, ECadsv5, DCasv6, DCadsv6, ECasv6, ECadsv6). That a region has a size, or that a subscription has
quota for it, is not said here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_V5 = (2, 4, 8, 16, 32, 48, 64, 96)
_V5_MEMORY = (2, 4, 8, 16, 20, 32, 48, 64, 96)
_V6 = (2, 4, 8, 16, 32, 48, 64, 96)
_V6_MEMORY = (2, 4, 8, 16, 32, 48, 64)
_TDX = re.compile(r"Standard_[DE]C\d+i?ed?s_v[56]", re.IGNORECASE)
_TWO_GPUS = re.compile(r"Standard_NCC80ads_H100_v5", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Size:
    """One size: its name as the API spells it, and what it is billed and counted by."""

    name: str
    cpus: int
    quota: str
    gpu: bool = False

    @property
    def meter(self) -> str:
        """Say by which meter one machine of this size costs while it exists."""
        return f"1 machine x hours of {self.name}; counts {self.cpus} vCPUs of the quota {self.quota}"


def _series(letters: str, kind: str, generation: int, cpus: tuple[int, ...]) -> tuple[Size, ...]:
    quota = f"Standard {letters}{kind}v{generation} Family vCPUs"
    return tuple(Size(f"Standard_{letters}{n}{kind}_v{generation}", n, quota) for n in cpus)


SIZES = {
    size.name: size
    for size in (
        Size("Standard_NCC40ads_H100_v5", 40, "Standard NCCads2023 Family vCPUs", gpu=True),
        *_series("DC", "as", 5, _V5),
        *_series("DC", "ads", 5, _V5),
        *_series("EC", "as", 5, _V5_MEMORY),
        *_series("EC", "ads", 5, _V5_MEMORY),
        *_series("DC", "as", 6, _V6),
        *_series("DC", "ads", 6, _V6),
        *_series("EC", "as", 6, _V6_MEMORY),
        *_series("EC", "ads", 6, _V6_MEMORY),
    )
}
FAMILIES = "Standard_NCC40ads_H100_v5, or Standard_{DC,EC}<vCPUs>{as,ads}_v{5,6} (for example Standard_DC4as_v5)"


def expected_size(value: object) -> str | None:
    """Return what was expected where a value is no size that can be deployed, with the reason; else None."""
    if isinstance(value, str) and value in SIZES:
        return None
    if isinstance(value, str) and _TDX.fullmatch(value):
        return (
            "a size with AMD SEV-SNP (on Azure's TDX sizes the VM has to send a request out to get its quote made, and "
            f"our VMs send none): {FAMILIES}"
        )
    if isinstance(value, str) and _TWO_GPUS.fullmatch(value):
        return "Standard_NCC40ads_H100_v5 (the size with two GPUs is in no size document of the vendor's)"
    return f"a confidential size with AMD SEV-SNP: {FAMILIES}"
