"""Clouds: where a VM is made real."""

from __future__ import annotations

from provisioner.clouds.choice import cloud_of
from provisioner.clouds.interface import Cloud, Group, Guest, Image, Node, Rolling, Vm
from provisioner.clouds.qemu import QemuCloud, QemuVm

__all__ = ["Cloud", "Group", "Guest", "Image", "Node", "QemuCloud", "QemuVm", "Rolling", "Vm", "cloud_of"]
