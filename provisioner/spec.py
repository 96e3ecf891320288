"""What one VM shall be, read strictly from inventory variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from provisioner.errors import Fault, SpecError

BootBus = Literal["virtio", "nvme"]
Accelerator = Literal["tcg", "kvm"]
AcceleratorChoice = Literal["auto", "tcg", "kvm"]
CloudName = Literal["qemu"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_REQUIRED = ("name", "boot_disk", "model_disk", "firmware", "gateway_port")
_Check = Callable[[object], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VmIdentity:
    """Which VM of which cloud is meant: all that it takes to destroy one."""

    name: str
    cloud: CloudName = "qemu"

    @classmethod
    def from_vars(cls, variables: Mapping[str, object]) -> VmIdentity:
        """Read name and cloud; what else the inventory says of the VM is not looked at.

        Raises:
            SpecError: one of the two is missing or malformed; every fault is listed.
        """
        told = {key: value for key, value in variables.items() if key in ("name", "cloud")}
        _refuse(_faults(told, required=("name",)))
        return cls(**cast("dict[str, Any]", told))


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """One VM as the operator wants it, with what its image says of itself: disks, and the port that listens inside.

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

    @classmethod
    def from_vars(cls, variables: Mapping[str, object]) -> VmSpec:
        """Read a spec; every key and type is checked.

        Raises:
            SpecError: it lists every fault at once.
        """
        _refuse(_faults(variables, required=_REQUIRED))
        values = {key: Path(str(value)) if key in _PATHS else value for key, value in variables.items()}
        # Every key and type has just been checked against _CHECKS.
        return cls(**cast("dict[str, Any]", values))


def _refuse(faults: Iterator[Fault]) -> None:
    if found := tuple(faults):
        raise SpecError(found)


def _faults(variables: Mapping[str, object], *, required: tuple[str, ...]) -> Iterator[Fault]:
    for key in required:
        if key not in variables:
            yield Fault(key, "a value", "nothing")
    for key, value in variables.items():
        if key not in _CHECKS:
            yield Fault(str(key), f"one of {', '.join(sorted(_CHECKS))}", "an unknown key")
            continue
        expected = _CHECKS[key](value)
        if expected is not None:
            yield Fault(key, expected, repr(value))


def _name(value: object) -> str | None:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return None
    return "a lower-case letter, then at most 30 letters, digits and hyphens"


def _absolute_path(value: object) -> str | None:
    if isinstance(value, str | Path) and Path(value).is_absolute() and str(value).isprintable():
        return None
    return "an absolute path of printable characters"


def _whole_number(low: int, high: int) -> _Check:
    def check(value: object) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return f"a whole number from {low} to {high}"

    return check


def _yes_or_no(value: object) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _one_of(literal: object) -> _Check:
    choices = get_args(literal)

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and value in choices else f"one of {', '.join(choices)}"

    return check


_PATHS = frozenset({"boot_disk", "model_disk", "firmware"})
_CHECKS: Mapping[str, _Check] = {
    "name": _name,
    "boot_disk": _absolute_path,
    "model_disk": _absolute_path,
    "firmware": _absolute_path,
    "gateway_port": _whole_number(1, 65535),
    "cloud": _one_of(CloudName),
    "port": _whole_number(1024, 65535),  # an ordinary user may not listen below
    "memory_mib": _whole_number(512, 1 << 20),
    "boot_bus": _one_of(BootBus),
    "accelerator": _one_of(AcceleratorChoice),
    "secure_boot": _yes_or_no,
}
