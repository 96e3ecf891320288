"""``python3 -m serving.attest.gpu_ready STEP COUNT``: what only root may do about the GPUs, in two steps of a boot.

``keep``, before the self-check: nodes in /dev that the GPUs' group may use (there is no udev), no driver for a device
that is plugged in later, and persistence: the GPUs keep their state while nobody uses them, for a session that ends
takes the keys of the confidential channel with it.

``work``, after *sealed*: the GPUs accept work; until then no engine can use them.

It proves nothing and judges little; a failure powers the machine off (the units say so).
"""

from __future__ import annotations

import grp
import os
import stat
import sys
from pathlib import Path

from serving.attest.nvml import NvmlLibrary
from serving.errors import GpuError

GROUP = "vitrine-gpu"
# Documentation of the driver (README, "Device files"): the major number is registered, the last minor is the control's.
_MAJOR, _CONTROL = 195, 255
_MEMORY = "nvidia-uvm"
_AUTOPROBE = "sys/bus/pci/drivers_autoprobe"


def nodes(devices: str, count: int) -> dict[str, tuple[int, int]]:
    """Name the nodes that programs need, with major and minor; ``devices`` is /proc/devices.

    Raises:
        GpuError: the driver is not loaded.
    """
    lines = (line.split() for line in devices.splitlines())
    numbers = {words[1]: int(words[0]) for words in lines if len(words) == 2 and words[0].isdigit()}
    if _MEMORY not in numbers or _MAJOR not in numbers.values():
        raise GpuError("the GPUs' driver is not loaded")
    gpus = {f"nvidia{index}": (_MAJOR, index) for index in range(count)}
    return {"nvidiactl": (_MAJOR, _CONTROL), _MEMORY: (numbers[_MEMORY], 0)} | gpus


def keep(root: Path, count: int, library: str | None) -> None:
    """Carry out the first step.

    Raises:
        GpuError: the driver is not there, or refuses.
        OSError: a node cannot be made.
    """
    (root / _AUTOPROBE).write_text("0")
    for name, numbers in nodes((root / "proc/devices").read_text(), count).items():
        _make(root / "dev" / name, numbers)
    _open(library).persist()


def work(root: Path, count: int, library: str | None) -> None:
    """Carry out the second step.

    Raises:
        GpuError: the driver refuses, or the GPUs do not accept work all the same.
    """
    _ = root, count
    nvml = _open(library)
    nvml.set_ready()
    if not nvml.is_ready():
        raise GpuError("the GPUs do not accept work")


STEPS = {"keep": keep, "work": work}


def main(arguments: list[str], root: Path = Path("/"), library: str | None = None) -> int:
    """Carry out one step; return the exit status."""
    try:
        name, count = arguments
        step, number = STEPS[name], int(count)
    except (ValueError, KeyError):
        sys.stderr.write(f"gpu_ready: expected {' or '.join(STEPS)}, and how many GPUs\n")
        return 2
    try:
        step(root, number, library)
    except (GpuError, OSError, KeyError) as error:
        sys.stderr.write(f"gpu_ready: {error}\n")
        return 1
    return 0


def _make(path: Path, numbers: tuple[int, int]) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(*numbers))
    os.chown(path, 0, grp.getgrnam(GROUP).gr_gid)
    path.chmod(0o660)


def _open(library: str | None) -> NvmlLibrary:
    return NvmlLibrary(library) if library else NvmlLibrary()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
