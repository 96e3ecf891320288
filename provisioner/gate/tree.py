"""A root file system in a folder, walked once, as the checks see it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError

# A secret or a unit is small; what is larger is a program or data.
READ_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """One path of the tree, relative to its root, with what ``lstat`` says. Links are never followed."""

    path: str
    state: os.stat_result

    @property
    def is_link(self) -> bool:
        """Say whether it is a symbolic link."""
        return stat.S_ISLNK(self.state.st_mode)

    @property
    def is_file(self) -> bool:
        """Say whether it is a plain file."""
        return stat.S_ISREG(self.state.st_mode)

    @property
    def is_folder(self) -> bool:
        """Say whether it is a folder."""
        return stat.S_ISDIR(self.state.st_mode)


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything that lies under one root."""

    root: Path
    found: tuple[Found, ...]

    def read(self, found: Found) -> bytes:
        """Give a plain file's contents, or nothing when it is larger than any text that a rule is about."""
        if not found.is_file or found.state.st_size > READ_LIMIT:
            return b""
        return (self.root / found.path).read_bytes()

    def target(self, found: Found) -> str:
        """Where a link points, as it is written."""
        return str((self.root / found.path).readlink())


def walk(root: Path) -> Tree:
    """Look at every path under ``root``, in order.

    Raises:
        BakeError: it is no folder or cannot be read.
    """
    if not root.is_dir():
        raise BakeError(f"gate: {root} is not a folder")
    try:
        return Tree(root, tuple(_under(str(root), "")))
    except OSError as error:
        raise BakeError(f"gate: cannot read the tree: {error}") from error


def _under(folder: str, prefix: str) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            found = Found(prefix + entry.name, entry.stat(follow_symlinks=False))
            yield found
            if found.is_folder:
                yield from _under(entry.path, f"{found.path}/")
