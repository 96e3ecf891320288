"""Files are written beside their place and renamed at the end: whoever looks finds the old one or the new one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

PRIVATE, READABLE = 0o600, 0o644


def write(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file; an existing one is replaced, and nothing is left behind when that fails.

    What is no plain file is left as it is: to rename a file to ``/dev/stdout`` would take that away from everybody.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
        raise OSError(errno.EEXIST, "it is no plain file, so it is not replaced: give a name of its own", str(path))
    partial = path.parent / f"{path.name}.partial"
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
