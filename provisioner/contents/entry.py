"""What every part of an image is read as: entries with a path, a mode and contents."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class PartName(StrEnum):
    """The parts of an image that hold entries."""

    ROOT = "root"
    INITRD = "initrd"
    MODEL = "model"
    UKI = "uki"


@dataclass(frozen=True, slots=True)
class PartEntry:
    """A file, folder, link or node. ``blocks`` says in which bytes of its part it lies; ``read`` gives the contents.

    Of a link the contents are its target; of a folder or a node there are none.
    """

    path: str
    mode: int
    size: int
    read: Callable[[], bytes] = field(compare=False, repr=False)
    uid: int = 0
    gid: int = 0
    links: int = 1
    device: tuple[int, int] = (0, 0)
    blocks: tuple[int, ...] = ()

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
        return self.read().decode("utf-8", "replace") if self.is_link else ""


class Part(Protocol):
    """A part of an image that holds entries."""

    def walk(self) -> Iterator[PartEntry]:
        """Yield every entry, in order of path."""

    def find(self, path: str) -> PartEntry:
        """Return the entry of a path, as it is: a link is not followed."""
