"""What the files of a log are called, and how the hashes and entries in them are laid out.

Source: C2SP tlog-tiles, "Merkle Tree", "Partial Tiles" and "Log entries". A file holds up to 256 hashes of one level of
the tree, or the 256 entries below a tile of level 0. It decides nothing: whether hashes belong to a tree is for
``tree`` and ``remote`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from client_sdk.errors import EvidenceError

WIDTH = 256
"""Hashes in a full tile, entries in a full entry bundle."""
HASH_SIZE = 32
ENTRIES = -1
"""Stands for the level where a tile would have one: these files hold entries, as wide as the tiles of level 0."""
MAX_ENTRY = 65_535  # an entry's length is written in 16 bits
MAX_ENTRY_BUNDLE = WIDTH * (2 + MAX_ENTRY)
CHECKPOINT = "checkpoint"
PUBLIC = "public"  # the folder in a log's own that is hosted
_PREFIX = 2  # bytes of an entry's length
_NUMBER = r"(?:x[0-9]{3}/)*[0-9]{3}"
_PARTIAL = r"(?:\.p/(?:[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?"
_PATH = re.compile(rf"tile/(?:entries|[0-9]|[1-5][0-9]|6[0-3])/{_NUMBER}{_PARTIAL}")


@dataclass(frozen=True, slots=True)
class Tile:
    """The place of a file: its level (or ``ENTRIES``), its index in the level, and how many things are in it."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it lies below the log's prefix."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_number(self.index)}{partial}"

    @property
    def full(self) -> Tile:
        """The same tile when it has become full."""
        return Tile(self.level, self.index)

    @property
    def limit(self) -> int:
        """The most bytes that the file can have."""
        return self.width * (_PREFIX + MAX_ENTRY if self.level == ENTRIES else HASH_SIZE)


def is_tile(path: str) -> bool:
    """Tell whether a path is one that a tile or an entry bundle can have."""
    return _PATH.fullmatch(path) is not None


def at(level: int, index: int, size: int) -> Tile:
    """Return a tile of a tree of this size, as wide as it is there; it must have one at this place."""
    count = size >> (8 * max(level, 0))
    return Tile(level, index, min(WIDTH, count - index * WIDTH))


def rightmost(size: int) -> Iterator[Tile]:
    """Yield the partial tiles of a tree from its leaves up: together they give its root."""
    level = 0
    while count := size >> (8 * level):
        if count % WIDTH:
            yield at(level, count // WIDTH, size)
        level += 1


def split(data: bytes, where: str, *, width: int) -> tuple[bytes, ...]:
    """Return the hashes in a tile.

    Raises:
        EvidenceError: it has another size.
    """
    if len(data) != width * HASH_SIZE:
        raise EvidenceError(where, f"expected {width} hashes of {HASH_SIZE} bytes, got {len(data)} bytes")
    return tuple([data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)])


def pack(entries: Sequence[bytes]) -> bytes:
    """Make an entry bundle: each entry after its length, as u16, big-endian.

    Raises:
        EvidenceError: an entry is too long for that, or there are too many.
    """
    if len(entries) > WIDTH:
        raise EvidenceError("bundle", f"{len(entries)} entries are over the limit of {WIDTH}")
    for number, entry in enumerate(entries):
        require_entry(entry, f"entries[{number}]")
    return b"".join([len(entry).to_bytes(_PREFIX, "big") + entry for entry in entries])


def unpack(data: bytes, where: str, *, width: int) -> tuple[bytes, ...]:
    """Return the entries in an entry bundle.

    Raises:
        EvidenceError: it has another number of entries, or it ends too early or too late.
    """
    found, place = [], 0
    for number in range(width):
        start = place + _PREFIX
        end = start + int.from_bytes(data[place:start], "big")
        if start > len(data) or end > len(data):
            raise EvidenceError(f"{where}, byte {place}", f"entry {number} of {width} is cut short")
        found.append(data[start:end])
        place = end
    if place != len(data):
        raise EvidenceError(f"{where}, byte {place}", f"there is more than the {width} entries")
    return tuple(found)


def require_entry(entry: bytes, where: str) -> None:
    """Refuse an entry that no entry bundle can hold.

    Raises:
        EvidenceError: it is empty, or too long.
    """
    if not 1 <= len(entry) <= MAX_ENTRY:
        raise EvidenceError(where, f"an entry has 1 to {MAX_ENTRY} bytes, this one {len(entry)}")


def _number(index: int) -> str:
    text = f"{index % 1000:03}"
    while index := index // 1000:
        text = f"x{index % 1000:03}/{text}"
    return text
