"""Plain files of a bake: hashed, checked against what a lock says of them, shared instead of copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Protocol

from provisioner.errors import BakeError


class Locked(Protocol):
    """What a lock says of a file: a Debian package's or a wheel's."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def size(self) -> int:
        """Its length in bytes."""

    @property
    def sha256(self) -> str:
        """The hash of its contents."""


def sha256_of(path: Path) -> str:
    """Hash a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sha256(path: Path, digest: str, what: str, *, by: str = "the lock") -> None:
    """Require that a file has the contents that are stated; ``what`` it is and ``by`` whom is for the message.

    Raises:
        BakeError: it has others, or there is no such file.
    """
    if not path.is_file():
        raise BakeError(f"{what}: there is no file {path}")
    if (found := sha256_of(path)) != digest:
        raise BakeError(f"{what}: {by} says sha256 {digest}, the file has {found}; delete or correct {path}")


def read_limited(path: Path, limit: int) -> bytes:
    """Read a file that somebody else may have written, and no more of it than a file of ours ever has.

    Raises:
        BakeError: it is longer.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        why = f"{path} has more than {limit} bytes, and no such file has: get it again, or name another"
        raise BakeError(why)
    return data


def check_file(path: Path, locked: Locked) -> None:
    """Check a file against the lock, wherever it comes from: the cache is no more to be trusted than a mirror.

    Raises:
        BakeError: size or hash differ.
    """
    size = path.stat().st_size
    if size != locked.size:
        raise BakeError(f"{locked.name}: the lock says {locked.size} bytes, the file has {size}; delete {path}")
    require_sha256(path, locked.sha256, locked.name)


def share(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where file systems do not allow that. Neither is written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
