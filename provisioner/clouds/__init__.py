"""Clouds: where a VM is made real."""

from __future__ import annotations

from provisioner.clouds.choice import cloud_of
from provisioner.clouds.interface import Cloud, Guest, Image, Node, Vm
from provisioner.clouds.qemu import QemuCloud, QemuVm

__all__ = ["Cloud", "Guest", "Image", "Node", "QemuCloud", "QemuVm", "Vm", "cloud_of"]
