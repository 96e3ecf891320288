"""The footer that makes a raw disk a fixed VHD, the form in which Azure takes disks. No clock and no chance in it.

Source: "Virtual Hard Disk Image Format Specification" (Microsoft, 2006), and
learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic (whole MiB, fixed).
"""

from __future__ import annotations

import hashlib
import struct

FOOTER_SIZE = 512
_SECTOR = 512
_FIXED = 2
_MAX_SECTORS = 65535 * 16 * 255


def footer(size: int, *, name: str) -> bytes:
    """Return the footer of a disk of so many bytes; ``name`` decides about its unique id alone.

    Raises:
        ValueError: the size is no whole number of MiB.
    """
    if size <= 0 or size % (1 << 20):
        raise ValueError("a disk's size is a whole number of MiB")
    fields = (
        *(b"conectix", 2, 0x00010000, 0xFFFFFFFFFFFFFFFF, 0),
        # Readers take the size itself, and not the geometry's, from a disk that this program made.
        *(b"win ", 0x00060001, b"Wi2k", size, size),
        *geometry(size // _SECTOR),
        _FIXED,
    )
    head = struct.pack(">8sIIQI4sI4sQQHBBI", *fields)
    identity = hashlib.sha256(f"{name} {size}".encode()).digest()[:16]
    bare = (head + bytes(4) + identity).ljust(FOOTER_SIZE, b"\0")
    return bare[: len(head)] + struct.pack(">I", ~sum(bare) & 0xFFFFFFFF) + bare[len(head) + 4 :]


def geometry(sectors: int) -> tuple[int, int, int]:
    """Return cylinders, heads and sectors per track by the specification's own rules."""
    sectors = min(sectors, _MAX_SECTORS)
    if sectors >= 65535 * 16 * 63:
        return sectors // 255 // 16, 16, 255
    track, heads = 17, max((sectors // 17 + 1023) // 1024, 4)
    if sectors // 17 >= heads * 1024 or heads > 16:
        track, heads = 31, 16
    if sectors // track >= heads * 1024:
        track, heads = 63, 16
    return sectors // track // heads, heads, track
