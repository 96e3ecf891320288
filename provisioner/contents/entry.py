"""What every part of an image is read as: entries with a path, a mode and contents."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from provisioner.errors import BakeError

MAX_WHOLE = 4 << 30
"""Bytes of a file that are held at once: the largest that is not a model's is a library of a GPU's, of some 2 GiB."""
_MAX_TARGET = 4095  # PATH_MAX without its end


class PartName(StrEnum):
    """The parts of an image that hold entries."""

    ROOT = "root"
    INITRD = "initrd"
    MODEL = "model"
    UKI = "uki"


@dataclass(frozen=True, slots=True)
class PartEntry:
    """A file, folder, link or node. ``pieces`` gives the contents, ``where`` the blocks of its part in which they lie.

    Of a link the contents are its target; of a folder or a node there are none. Both are asked for one entry at a time:
    an image says how much there is of either, and may say what it likes.
    """

    path: str
    mode: int
    size: int
    pieces: Callable[[], Iterable[bytes]] = field(compare=False, repr=False)
    uid: int = 0
    gid: int = 0
    links: int = 1
    device: tuple[int, int] = (0, 0)
    where: Callable[[], tuple[range, ...]] = field(default=tuple, compare=False, repr=False)

    def read(self, limit: int = MAX_WHOLE) -> bytes:
        """Return the contents in one piece.

        Raises:
            BakeError: they are longer than ``limit``, or are not what the part names.
        """
        if self.size > limit:
            raise BakeError(f"{self.path} has {self.size} bytes, and what it is read as has at most {limit}")
        return b"".join(self.pieces())

    def sha256(self) -> str:
        """Return the digest of the contents, however long they are.

        Raises:
            BakeError: they are not what the part names.
        """
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    @property
    def is_file(self) -> bool:
        """Say whether it is a plain file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Say whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Say whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def target(self) -> str:
        """Where a link leads; empty for everything else."""
        return self.read(_MAX_TARGET).decode("utf-8", "replace") if self.is_link else ""


class Part(Protocol):
    """A part of an image that holds entries."""

    def walk(self) -> Iterator[PartEntry]:
        """Yield every entry, in order of path."""

    def find(self, path: str) -> PartEntry:
        """Return the entry of a path, as it is: a link is not followed."""
