"""Which machine types of Google Cloud are confidential VMs of a kind that a client accepts.

Source: https://cloud.google.com/confidential-computing/confidential-vm/docs/supported-configurations
Whether a zone has one, and whether the project may have it, is only known by asking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Technology = Literal["tdx", "sev-snp"]
Provisioning = Literal["standard", "spot", "flex_start", "reservation"]
_ALL: tuple[Provisioning, ...] = ("standard", "spot", "flex_start", "reservation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Machine types that are alike: what their CPU proves with, and how they can be had."""

    pattern: str
    example: str
    technology: Technology
    confidential_type: str
    image_feature: str
    cpu_platform: str = ""
    provisioning: tuple[Provisioning, ...] = _ALL
    provisioning_why: str = ""
    meter: str = "vCPU-hours and GiB-hours of memory"
    gpus: int = 0


FAMILIES = (
    Family(
        pattern=r"a3-highgpu-1g",
        example="a3-highgpu-1g (TDX, one H100)",
        technology="tdx",
        confidential_type="TDX",
        image_feature="TDX_CAPABLE",
        # https://cloud.google.com/compute/docs/accelerator-optimized-machines
        provisioning=("spot", "flex_start", "reservation"),
        provisioning_why="a3-highgpu-1g is not sold on demand",
        meter="vCPU-hours, GiB-hours of memory, one H100's GPU-hours",
        gpus=1,
    ),
    Family(
        pattern=r"c3-standard-(4|8|22|44|88|176)",
        example="c3-standard-4 to -176 (TDX)",
        technology="tdx",
        confidential_type="TDX",
        image_feature="TDX_CAPABLE",
        provisioning=("standard", "spot", "reservation"),
        provisioning_why="flex_start is for machines with GPUs",
    ),
    Family(
        pattern=r"n2d-standard-(2|4|8|16|32|48|64|80|96|128|224)",
        example="n2d-standard-2 to -224 (SEV-SNP)",
        technology="sev-snp",
        confidential_type="SEV_SNP",
        image_feature="SEV_SNP_CAPABLE",
        cpu_platform="AMD Milan",
        provisioning=("standard", "spot", "reservation"),
        provisioning_why="flex_start is for machines with GPUs",
    ),
)
# What people ask for, and why it is not had here.
_REFUSED = (
    (r"g4-.*", "g4 machines (Blackwell) are offered with SEV alone, which gives a client no report to verify"),
    (r"c3-.*-lssd", "c3 machines with local SSDs are not confidential VMs"),
    (r"a3-(highgpu-[248]g|megagpu.*|edgegpu.*)|a2-.*|a4.*", "of the GPU machines only a3-highgpu-1g is confidential"),
    (r"(c2d|c3d|c4d|n2d-(highmem|highcpu))-.*", "this type is offered with SEV alone, or was not looked at yet"),
)


def family_of(machine_type: str) -> Family | None:
    """Return the family of a machine type that can be had, else None."""
    return next((family for family in FAMILIES if re.fullmatch(family.pattern, machine_type)), None)


def why_not(machine_type: str) -> str:
    """Say why a machine type cannot be had, and which can."""
    known = "one of " + ", ".join(family.example for family in FAMILIES)
    reason = next((why for pattern, why in _REFUSED if re.fullmatch(pattern, machine_type)), "")
    return f"{known}; {reason}" if reason else known
