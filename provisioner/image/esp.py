"""The EFI system partition: FAT32 with one file in it, the UKI."""

from __future__ import annotations

import os
from pathlib import Path

from provisioner.image.workshop import Workshop

_MIB = 1 << 20
# FAT32 needs 65,525 clusters; with 512-byte clusters that is 33 MiB with its tables.
_LEAST = 36 * _MIB
BOOT_PATH = "EFI/BOOT/BOOTX64.EFI"


def make_esp(workshop: Workshop, uki: Path) -> Path:
    """Make esp.fat in the workshop's folder, from a UKI that lies there too.

    Raises:
        BakeError: a tool fails or the disk is full.
    """
    esp = workshop.folder / "esp.fat"
    size = max(_LEAST, (uki.stat().st_size // _MIB + 4) * _MIB)
    with esp.open("wb") as file:
        file.truncate(size)
    serial = workshop.bytes_for("esp-serial")[:4].hex()
    format_options = ["--invariant", "-F32", "-s1", "-S512", f"-i{serial}", "-nVITRINE"]
    workshop.run(["mkfs.vfat", *format_options, esp.name], what="making the EFI system partition")
    workshop.run(["mmd", "-i", esp.name, "::EFI", "::EFI/BOOT"], what="making the folders of the EFI system partition")
    os.utime(uki, (workshop.epoch, workshop.epoch))
    workshop.run(["mcopy", "-m", "-i", esp.name, uki.name, f"::{BOOT_PATH}"], what="copying the UKI")
    return esp
