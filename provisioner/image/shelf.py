"""Folders that are made once, whole or not at all: beside, then renamed; one maker at a time."""

from __future__ import annotations

import errno
import fcntl
import glob
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.errors import BakeError


def make_once(final: Path, marker: str, make: Callable[[Path], None], *, what: str) -> Path:
    """Return a folder that holds ``marker``, having ``make`` fill it if it is not there.

    What an interrupted maker left behind is removed. Two makers wait for each other.

    Raises:
        BakeError: ``make`` raises it, or the disk is full or not writable.
    """
    if (final / marker).is_file():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with alone(final):
            if not (final / marker).is_file():
                _make(final, make)
    except OSError as error:
        raise BakeError(f"{what}: {_reason(error)}") from error
    return final


def _make(final: Path, make: Callable[[Path], None]) -> None:
    prefix = f".{final.name[:16]}.part-"
    for stale in final.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=final.parent))
    try:
        make(temporary)
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space (build/cache may be deleted) and run it again"
    return f"{error.strerror or error}: {error.filename}; put that right and run it again"


@contextmanager
def alone(final: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends."""
    with (final.parent / f".{final.name[:16]}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
