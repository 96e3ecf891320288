"""Reading a cpio archive in the "newc" form (cpio(5); Linux' driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from provisioner.contents.entry import PartEntry
from provisioner.errors import BakeError

_MAGIC = b"070701"
_HEADER = 110
# int() takes signs as well: a size below zero would lead back to where the reader has been.
_FIELDS = re.compile(rb"[0-9A-Fa-f]{104}")
_TRAILER = "TRAILER!!!"
_MAX_NAME = 4096


def read_cpio(data: bytes) -> Iterator[PartEntry]:
    """Yield the entries of an archive, in its order, with absolute paths.

    Raises:
        BakeError: it is malformed, or ends without its trailer.
    """
    at = 0
    while True:
        fields = _fields(data, at)
        _, mode, uid, gid, links, _, size, _, _, major, minor, length, _ = fields
        if not 1 < length <= _MAX_NAME:
            raise BakeError(f"cpio: a name of {length} bytes at {at:#x}")
        path = _slice(data, at + _HEADER, length).rstrip(b"\0").decode("utf-8", "backslashreplace")
        begin = _aligned(at + _HEADER + length)
        if path == _TRAILER:
            return
        _slice(data, begin, size)  # or the archive is cut short
        pieces = partial(_pieces, data, begin, size)
        yield PartEntry(f"/{path.strip('/')}", mode, size, pieces, uid, gid, links, (major, minor))
        at = _aligned(begin + size)


def _fields(data: bytes, at: int) -> tuple[int, ...]:
    header = _slice(data, at, _HEADER)
    if header[:6] != _MAGIC:
        raise BakeError(f"cpio: no entry at {at:#x}, and no trailer before it")
    if not _FIELDS.fullmatch(header, 6):
        raise BakeError(f"cpio: a malformed entry at {at:#x}")
    return tuple(int(header[place : place + 8], 16) for place in range(6, _HEADER, 8))


def _pieces(data: bytes, at: int, size: int) -> tuple[bytes]:
    return (_slice(data, at, size),)


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise BakeError(f"cpio: the archive is cut short: {size} bytes wanted at {at:#x} of {len(data):#x}")
    return data[at : at + size]


def _aligned(value: int) -> int:
    return -(-value // 4) * 4
