"""Where the compressed parts of an erofs file lie, and what they hold.

A file is cut into logical clusters of a block. Each entry of the map says whether a compressed block ("head") begins
in that cluster, at which byte and in which block, or how far back the head is that covers it. Format: Linux'
fs/erofs/erofs_fs.h (z_erofs_*) and zmap.c. Compressed data end with their block: lz4_0padding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from provisioner.contents.lz4 import decompress
from provisioner.contents.verity import BLOCK
from provisioner.errors import BakeError

_HEADER = struct.Struct("<IHBB")
_TWO_BYTES = 0x1
_HEAD_PLAIN, _HEAD_LZ4, _NO_HEAD = 0, 1, 2
_LOW = 12
_MAX_FILE = 1 << 40
_ROWS = BLOCK // 8  # of a full map, read at once
At = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One stored block: the byte of the file at which its contents begin, and whether they are compressed."""

    start: int
    block: int
    compressed: bool


def clusters(at: At, body: int, size: int, most: int, *, packed: bool) -> tuple[Cluster, ...]:
    """Return a file's stored blocks in order; there are ``most`` of them, as its inode says, or fewer.

    Raises:
        BakeError: the map is malformed, has more blocks, or has what our images do not use.
    """
    header = -(-body // 8) * 8
    _, advice, algorithms, bits = _HEADER.unpack(at(header, _HEADER.size))
    if advice & ~_TWO_BYTES or algorithms & 0xF or bits or not 0 < size <= _MAX_FILE:
        what = f"advice {advice:#x}, algorithms {algorithms:#x}, cluster bits {bits:#x}"
        raise BakeError(f"erofs: a compressed file has what our images do not use: {what}")
    count = -(-size // BLOCK)
    read = _packed if packed else _full
    told = read(at, header + 8, count, two_bytes=bool(advice & _TWO_BYTES))
    found = _at_most(told, size, most)
    starts = [cluster.start for cluster in found]
    if not found or starts[0] or starts != sorted(set(starts)) or starts[-1] >= size:
        raise BakeError("erofs: the map of a compressed file is malformed")
    return found


def _at_most(told: Iterable[Cluster], size: int, most: int) -> tuple[Cluster, ...]:
    found: list[Cluster] = []
    for cluster in told:
        # Where the last block ends within a cluster, mkfs.erofs closes the map with a head at the file's end.
        if found and cluster.start == size:
            continue
        if len(found) == most:
            raise BakeError(f"erofs: a compressed file's map has more blocks than the {most} that its inode claims")
        found.append(cluster)
    return tuple(found)


def read(found: tuple[Cluster, ...], size: int, block: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield the contents of a file, for each stored block what it holds.

    Raises:
        BakeError: a block does not decompress.
    """
    ends = [*(cluster.start for cluster in found[1:]), size]
    for cluster, end in zip(found, ends, strict=True):
        data, length = block(cluster.block), end - cluster.start
        if not cluster.compressed and length > BLOCK:
            raise BakeError("erofs: a stored block is longer than a block")
        yield decompress(data.lstrip(b"\0"), length) if cluster.compressed else data[:length]


def _full(at: At, start: int, count: int, *, two_bytes: bool) -> Iterator[Cluster]:
    if two_bytes:
        raise BakeError("erofs: a full map that says that it is a packed one")
    for first in range(0, count, _ROWS):
        rows = struct.iter_unpack("<HHI", at(start + 8 + 8 * first, 8 * min(_ROWS, count - first)))
        for index, (kind, offset, block) in enumerate(rows, start=first):
            if kind & 3 != _NO_HEAD:
                yield Cluster(index * BLOCK + offset, block, _is_compressed(kind & 3))


def _packed(at: At, start: int, count: int, *, two_bytes: bool) -> Iterator[Cluster]:
    """Read a map of packs: 2 entries in 8 bytes, where it is aligned also 16 in 32, each with its base block last."""
    first = (32 - start % 32) // 4 & 7
    middle = (count - first) // 16 * 16 if two_bytes and first < count else 0
    index, place = 0, start
    while index < count:
        wide = first <= index < first + middle
        entries, length = (16, 32) if wide else (2, 8)
        yield from _pack(at(place, length), index, min(entries, count - index), entries)
        index, place = index + entries, place + length


def _pack(data: bytes, index: int, used: int, entries: int) -> list[Cluster]:
    bits = (len(data) - 4) * 8 // entries
    number, base = int.from_bytes(data[:-4], "little"), int.from_bytes(data[-4:], "little")
    values = [number >> place * bits for place in range(used)]
    heads = [(place, value) for place, value in enumerate(values) if value >> _LOW & 3 != _NO_HEAD]
    return [
        Cluster((index + place) * BLOCK + (value & (1 << _LOW) - 1), base + ahead, _is_compressed(value >> _LOW & 3))
        for ahead, (place, value) in enumerate(heads, start=1)
    ]


def _is_compressed(kind: int) -> bool:
    if kind not in (_HEAD_PLAIN, _HEAD_LZ4):
        raise BakeError(f"erofs: a cluster of kind {kind}, which our images do not use")
    return kind == _HEAD_LZ4
