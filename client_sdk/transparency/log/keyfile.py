"""Private keys of logs and witnesses, as C2SP signed-note writes them: files that their owner alone may read.

A file is opened once and judged by what was opened, not by its name: (1) no link leads to it, (2) it is a file of
whoever runs this, which nobody else may read, of a size that a key can have. Only then is a byte of it read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from client_sdk.errors import EvidenceError, LogDamagedError, LogStorageError
from client_sdk.transparency.formats.note import NoteSigner
from client_sdk.transparency.log.store import Store
from client_sdk.writing import PRIVATE

MAX_KEY = 4096
_OTHERS = 0o077
# What nobody writes to does not make the opener wait (a fifo), nor does a terminal become this process's.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def create(store: Store, name: str, signer: NoteSigner) -> None:
    """Write a new key, and its public half beside it (``.pub`` in place of ``.key``).

    Raises:
        LogStorageError: it cannot be written.
    """
    store.put(f"{Path(name).stem}.pub", f"{signer.verifier}\n".encode())
    store.put(name, f"{signer.to_text()}\n".encode(), mode=PRIVATE)


def require_none(store: Store, name: str, *, remedy: str) -> None:
    """Refuse a folder with something in a key's place, whatever it is: it is not opened.

    Raises:
        LogDamagedError: with what to do.
    """
    path = store.home / name
    if os.path.lexists(path):
        raise LogDamagedError(f"{path}: there is a key already; {remedy}")


def load(store: Store, name: str) -> NoteSigner:
    """Return a key.

    Raises:
        LogStorageError: it is not there, or cannot be read.
        LogDamagedError: it is no file of one's own, others may read it, or it is no such key.
    """
    path = store.home / name
    try:
        found = _read(path)
    except OSError as error:
        told = "there is no such file" if error.errno == errno.ENOENT else error.strerror
        raise LogStorageError(f"cannot read {path}: {told}") from error
    try:
        return NoteSigner.from_text(found.decode("ascii", "replace").strip())
    except EvidenceError as error:
        raise LogDamagedError(f"{path}: {error}") from error


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        told = "expected the key's file, got a link; put the file itself there"  # (1)
        raise LogDamagedError(f"{path}: {told}") from error
    try:
        _require_private(os.fstat(descriptor), path)  # (2)
        return os.read(descriptor, MAX_KEY)
    finally:
        os.close(descriptor)


def _require_private(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise LogDamagedError(f"{path}: expected a file with a key, got another kind of thing; put the key there")
    if found.st_uid != os.geteuid():
        whose = f"expected a file of user {os.geteuid()}, who runs this, got one of user {found.st_uid}"
        raise LogDamagedError(f"{path}: {whose}; run it as that user, or chown it if you know who wrote it")
    if found.st_mode & _OTHERS:
        raise LogDamagedError(f"{path}: chmod 600 it, and make a new key if others may have read it")
    if found.st_size > MAX_KEY:
        raise LogDamagedError(f"{path}: expected at most {MAX_KEY} bytes, got {found.st_size}; no key is as long")
