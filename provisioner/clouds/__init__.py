"""Clouds: where a VM is made real."""

from __future__ import annotations

from provisioner.clouds.choice import cloud_of
from provisioner.clouds.interface import Cloud, Vm
from provisioner.clouds.qemu import QemuCloud

__all__ = ["Cloud", "QemuCloud", "Vm", "cloud_of"]
