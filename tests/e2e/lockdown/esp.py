"""The EFI system partition of an image, and what a host puts there beside the UKI: nobody measures what lies on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from provisioner.image import uki
from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree
from provisioner.image.workshop import Workshop
from tests.e2e import disks
from tests.e2e.machine import CACHE

_STUB = "usr/lib/systemd/boot/efi/addonx64.efi.stub"


@dataclass(frozen=True, slots=True)
class Esp:
    """The boot disk of an image, and the means to put things onto it."""

    disk: Path
    workshop: Workshop

    @classmethod
    def of(cls, disk: Path) -> Self:
        """Open the partition of a disk, which lies in a folder of its own."""
        return cls(disk, Workshop(tools_tree(Sources(CACHE), progress=print).tree, disk.parent, 1, ""))

    def put(self, target: str, data: bytes) -> None:
        """Write a file."""
        file = self.workshop.folder / "added"
        file.write_bytes(data)
        disks.put_on_esp(self.disk, file, target)

    def addon(self, section: str, data: bytes) -> bytes:
        """Make an addon for systemd's stub, with one section."""
        stub = (self.workshop.tools / _STUB).read_bytes()
        layout = uki._layout(stub)
        for name, content in (("addon.stub", stub), ("section", data)):
            (self.workshop.folder / name).write_bytes(content)
        flags = [f"--add-section={section}=section", f"--set-section-flags={section}=data,readonly"]
        place = f"--change-section-vma={section}={layout.base + layout.end:#x}"
        self.workshop.run(["objcopy", *flags, place, "addon.stub", "addon.efi"], what="making an addon")
        return (self.workshop.folder / "addon.efi").read_bytes()
