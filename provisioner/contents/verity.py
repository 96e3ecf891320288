"""Blocks of a dm-verity device, each checked up to the root hash when it is read: what one reads is what is measured.

The layout is cryptsetup's without a superblock (its wiki, "DMVerity"; Linux' admin-guide/device-mapper/verity): hash
format 1, the salt before the data, 128 digests a block, the levels one behind the other from the top.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from provisioner.errors import BakeError

BLOCK = 4096
_DIGEST = 32
_PER_BLOCK = BLOCK // _DIGEST


class Blocks(Protocol):
    """Something of a known length that is read in whole blocks."""

    @property
    def count(self) -> int:
        """How many blocks there are."""

    def read(self, index: int) -> bytes:
        """Return one block."""


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a file: where a partition lies in a disk."""

    path: Path
    offset: int
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of it.

        Raises:
            BakeError: they are not there.
        """
        if offset < 0 or offset + size > self.size:
            raise BakeError(f"{self.path}: {size} bytes wanted at {offset:#x} of an area of {self.size:#x}")
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + offset)
                data = file.read(size)
        except OSError as error:
            raise BakeError(f"cannot read {self.path}: {error.strerror}") from error
        if len(data) != size:
            raise BakeError(f"{self.path} is cut short: it ends before {self.offset + offset + size:#x}")
        return data


@dataclass(frozen=True, slots=True)
class Step:
    """One digest between a data block and the root hash: of which block of which level, 0 being the data."""

    level: int
    index: int
    digest: str


@dataclass(frozen=True, slots=True)
class Verity:
    """The data blocks under a root hash; ``known`` are blocks of the hash tree that were checked before."""

    data: Area
    tree: Area
    root_hash: str
    salt: bytes
    count: int
    known: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False, compare=False)

    def read(self, index: int) -> bytes:
        """Return one data block.

        Raises:
            BakeError: it is not what the root hash names, or is not there.
        """
        if not 0 <= index < self.count:
            raise BakeError(f"{self.data.path}: block {index} of {self.count}")
        block = self.data.read(index * BLOCK, BLOCK)
        if self._hash(block) != self._expected(0, index):
            raise BakeError(f"{self.data.path}: data block {index} is not what the root hash {self.root_hash} names")
        return block

    def path(self, index: int) -> Iterator[Step]:
        """Yield the digests from a data block up to the root hash, each checked to lie in the block of the next."""
        digest = self._hash(self.read(index))
        for level in range(len(self._levels()) + 1):
            yield Step(level, index, digest.hex())
            index //= _PER_BLOCK
            if level < len(self._levels()):
                digest = self._hash(self._node(level + 1, index))

    def _levels(self) -> list[int]:
        """Return how many blocks each level of the tree has, from the lowest."""
        counts = [-(-self.count // _PER_BLOCK)]
        while counts[-1] > 1:
            counts.append(-(-counts[-1] // _PER_BLOCK))
        return counts

    def _expected(self, level: int, index: int) -> bytes:
        """Return the digest that the tree has of a block of a level, having checked the tree up to the root."""
        if level == len(self._levels()):
            return bytes.fromhex(self.root_hash)
        node, place = self._node(level + 1, index // _PER_BLOCK), index % _PER_BLOCK * _DIGEST
        return node[place : place + _DIGEST]

    def _node(self, level: int, index: int) -> bytes:
        if (level, index) not in self.known:
            counts = self._levels()
            before = sum(counts[level:])
            block = self.tree.read((before + index) * BLOCK, BLOCK)
            if self._hash(block) != self._expected(level, index):
                what = f"block {index} of level {level} of its hash tree"
                raise BakeError(f"{self.tree.path}: {what} is not what the root hash {self.root_hash} names")
            self.known[level, index] = block
        return self.known[level, index]

    def _hash(self, block: bytes) -> bytes:
        return hashlib.sha256(self.salt + block).digest()
