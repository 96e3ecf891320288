"""Files are written beside their place and renamed at the end: whoever looks finds the old one or the new one."""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE, READABLE = 0o600, 0o644


def write(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file; an existing one is replaced, and nothing is left behind when that fails.

    Raises:
        OSError: it cannot be written.
    """
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
