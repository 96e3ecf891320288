"""Clouds: where a planned VM is made real."""

from __future__ import annotations

from provisioner.clouds.interface import Cloud, Progress, Vm
from provisioner.clouds.qemu import QemuCloud

__all__ = ["Cloud", "Progress", "QemuCloud", "Vm"]
