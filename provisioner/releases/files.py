"""Files that whoever types a command names: reading and writing them, and what to do where the system says no."""

from __future__ import annotations

import errno
from pathlib import Path

from provisioner.atomic import replace_file
from provisioner.errors import Fault, SpecError

MAX_FILE = 4 * 1024 * 1024
SIGNABLE = "a release or a rotation, as `vitrine release create`, `revoke` or `rotate` writes it"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_INSTEAD = {
    errno.ENOENT: "nothing: no such file",
    errno.EISDIR: "a folder",
    errno.ENOTDIR: "a file where a folder has to be",
    # Of a folder that is to be made; no file is ever made where one is.
    errno.EEXIST: "a file where a folder has to be, or a link that leads to nothing",
    errno.EACCES: "one that this user may not use: permission denied",
}


def read_file(path: Path, what: str, *, limit: int = MAX_FILE) -> bytes:
    """Return a file, of one that is too large as much as shows it; ``what`` says what it is to be.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise SpecError((Fault(str(path), what, reason(error)),)) from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step, which replaces a plain file, and nothing else.

    Raises:
        SpecError: it cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        got = "a folder" if path.is_dir() else "a link, a device or a pipe, which is not replaced"
        raise SpecError((Fault(str(path), "a file of its own, or a name that is not taken", got),))
    try:
        replace_file(path, data)
    except OSError as error:
        if not path.parent.exists():
            raise SpecError((Fault(str(path), "a file in a folder that is there: make it", "none"),)) from error
        expected = "space for a file: free some" if error.errno in _FULL else "a file that can be written"
        raise SpecError((Fault(str(path), expected, reason(error)),)) from error


def reason(error: OSError) -> str:
    """Return what the system says, as a part of a sentence: what is there instead."""
    said = error.strerror or type(error).__name__
    return _INSTEAD.get(error.errno or 0, said[:1].lower() + said[1:])


def in_words(error: OSError) -> str:
    """Say what to do about what the system says of a file that nobody named."""
    place = f"cannot use {error.filename}: " if error.filename is not None else ""
    remedy = "free space" if error.errno in _FULL else "see to it"
    return f"{place}{error.strerror or error}; {remedy}, and run the same command again: it goes on where it was"
