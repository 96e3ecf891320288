"""Files are written beside their place and renamed at the end: whoever looks finds the old one or the new one.

So does who looks after a crash: the bytes are on the disk before the name leads to them, and the name is there before
the call ends. A process that dies leaves at most the file beside it, which the next one overwrites.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

PRIVATE, READABLE = 0o600, 0o644


def write(path: Path, data: bytes, *, mode: int, beside: Path | None = None) -> None:
    """Write a file; an existing one is replaced, and nothing is left behind when that fails.

    It has its final mode from the first byte on. ``beside`` is where it is written first, on the same file system.
    What is no plain file is left as it is: to rename a file to ``/dev/stdout`` would take that away from everybody.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
        raise OSError(errno.EEXIST, "it is no plain file, so it is not replaced: give a name of its own", str(path))
    partial = path.parent / f"{path.name}.partial" if beside is None else beside
    partial.unlink(missing_ok=True)  # of another mode, perhaps
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        _fill(descriptor, data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    flush(path.parent)


def flush(folder: Path) -> None:
    """Put the names in a folder on the disk; a system that cannot does so when it likes.

    Raises:
        OSError: they cannot be put there.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(descriptor: int, data: bytes) -> None:
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
