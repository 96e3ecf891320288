"""Checks: the GPUs are those that the image is for, and a bus that cannot be searched again."""

from __future__ import annotations

from serving.selfcheck.expect import expect
from serving.selfcheck.facts import Facts
from serving.selfcheck.kernel import gpus_due

NVIDIA, GPU_CLASSES = "0x10de", ("0x0300", "0x0302")


def gpus_are_those_that_are_due(facts: Facts) -> None:
    """Require as many GPUs with NVIDIA's driver as the command line names, and a bus that cannot be searched again.

    What they are, and in which mode, is the attester's to ask.
    """
    due, bus = gpus_due(facts), facts.root / "sys/bus/pci"
    bound = sorted(path.name for path in (bus / "drivers/nvidia").glob("????:??:??.?"))
    expect(len(bound) == due, f"{len(bound)} GPUs have the driver, {due} are due")
    if not due:
        expect(not (facts.root / "sys/module/nvidia").exists(), "a GPU driver is loaded, and no GPU is due")
        return
    there = sorted(path.name for path in (bus / "devices").glob("*") if _is_gpu(facts, path.name))
    expect(there == bound, f"GPUs are {there}, with the driver {bound}")
    sysfs = next((mount for mount in facts.mounts if mount.point == "/sys"), None)
    expect(sysfs and "ro" in sysfs.options, "/sys is writable: a device could be bound again, or the bus searched")


def _is_gpu(facts: Facts, device: str) -> bool:
    vendor, kind = (facts.read(f"sys/bus/pci/devices/{device}/{name}").strip() for name in ("vendor", "class"))
    return vendor == NVIDIA and kind.startswith(GPU_CLASSES)
