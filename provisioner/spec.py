"""What one VM on this machine shall be, read strictly from the inventory; and which VM of which cloud is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from provisioner import fields
from provisioner.fields import Checks

BootBus = Literal["virtio", "nvme"]
Accelerator = Literal["tcg", "kvm"]
AcceleratorChoice = Literal["auto", "tcg", "kvm"]
CloudName = Literal["qemu", "gcp", "azure"]
_REQUIRED = ("name", "boot_disk", "model_disk", "firmware", "gateway_port")


@dataclass(frozen=True, slots=True, kw_only=True)
class VmIdentity:
    """Which VM of which cloud is meant: all that it takes to choose the cloud."""

    name: str
    cloud: CloudName = "qemu"

    @classmethod
    def from_vars(cls, variables: Mapping[str, object]) -> VmIdentity:
        """Read name and cloud; what else the inventory says of the VM is not looked at.

        Raises:
            SpecError: one of the two is missing or malformed; every fault is listed.
        """
        told = {key: value for key, value in variables.items() if key in ("name", "cloud")}
        fields.refuse(fields.faults(told, IDENTITY, required=("name",)))
        return cls(**cast("dict[str, Any]", told))


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """One VM as the operator wants it, with what its image says of itself: disks, and the port that listens inside.

    ``console`` lets a developer write to the serial line, which a debug image reads.

    That it can be had, or that its files exist, is not said.
    """

    name: str
    boot_disk: Path
    model_disk: Path
    firmware: Path
    gateway_port: int
    cloud: CloudName = "qemu"
    port: int = 8443
    memory_mib: int = 1024
    boot_bus: BootBus = "virtio"
    accelerator: AcceleratorChoice = "auto"
    secure_boot: bool = False
    console: bool = False

    @classmethod
    def from_vars(cls, variables: Mapping[str, object]) -> VmSpec:
        """Read a spec; every key and type is checked.

        Raises:
            SpecError: it lists every fault at once.
        """
        fields.refuse(fields.faults(variables, _CHECKS, required=_REQUIRED))
        return cls(**fields.typed(variables, _PATHS))


_PATHS = frozenset({"boot_disk", "model_disk", "firmware"})
IDENTITY: Checks = {"name": fields.name, "cloud": fields.one_of(CloudName)}
_CHECKS: Checks = {
    **IDENTITY,
    "cloud": fields.one_of(Literal["qemu"]),
    **dict.fromkeys(_PATHS, fields.absolute_path),
    "gateway_port": fields.whole_number(1, 65535),
    "port": fields.whole_number(1024, 65535),  # an ordinary user may not listen below
    "memory_mib": fields.whole_number(512, 1 << 20),
    "boot_bus": fields.one_of(BootBus),
    "accelerator": fields.one_of(AcceleratorChoice),
    "secure_boot": fields.boolean,
    "console": fields.boolean,
}
