"""What leaves a VM's network card, read from QEMU's own record of every frame (a classic pcap, Ethernet)."""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER, _FRAME = 24, struct.Struct("<IIII")
_IPV4, _TCP = b"\x08\x00", 6


def frames(path: Path) -> list[bytes]:
    """Return every whole frame so far."""
    data, found, at = path.read_bytes(), [], _HEADER
    while at + _FRAME.size <= len(data):
        length = _FRAME.unpack_from(data, at)[2]
        at += _FRAME.size
        found.append(data[at : at + length])
        at += length
    return found


def tcp(path: Path, *, port: int) -> tuple[int, int]:
    """Count TCP segments to a port of the VM, and from it."""
    to = away = 0
    for frame in frames(path):
        if frame[12:14] != _IPV4 or frame[23] != _TCP:
            continue
        start = 14 + 4 * (frame[14] & 15)
        source, target = struct.unpack_from(">HH", frame, start)
        to, away = to + (target == port), away + (source == port)
    return to, away
