"""Which cloud the inventory means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from provisioner.clouds.interface import Cloud
from provisioner.clouds.qemu import QemuCloud
from provisioner.spec import CloudName

CLOUDS: Mapping[CloudName, Callable[[Path], Cloud]] = {"qemu": QemuCloud}


def cloud_of(name: CloudName, root: Path) -> Cloud:
    """Return the cloud of that name, with what it keeps of this deployment under ``root``."""
    return CLOUDS[name](root)
