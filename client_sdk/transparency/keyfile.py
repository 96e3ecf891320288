"""Private keys of logs and witnesses, as C2SP signed-note writes them: files that their owner alone may read."""

from __future__ import annotations

from pathlib import Path

from client_sdk.errors import EvidenceError, LogDamagedError, LogStorageError
from client_sdk.transparency.note import NoteSigner
from client_sdk.transparency.store import Store
from client_sdk.writing import PRIVATE

MAX_KEY = 4096
_OTHERS = 0o077


def create(store: Store, name: str, signer: NoteSigner) -> None:
    """Write a new key, and its public half beside it (``.pub`` in place of ``.key``).

    Raises:
        LogStorageError: it cannot be written.
    """
    store.put(f"{Path(name).stem}.pub", f"{signer.verifier}\n".encode())
    store.put(name, f"{signer.to_text()}\n".encode(), mode=PRIVATE)


def load(store: Store, name: str) -> NoteSigner:
    """Return a key.

    Raises:
        LogStorageError: it is not there, or cannot be read.
        LogDamagedError: others may read it, or it is no such key.
    """
    path = store.home / name
    found = store.read(name, limit=MAX_KEY)
    if found is None:
        raise LogStorageError(f"cannot read {path}: there is no such file")
    if path.stat().st_mode & _OTHERS:
        raise LogDamagedError(f"{path}: chmod 600 it, and make a new key if others may have read it")
    try:
        return NoteSigner.from_text(found.decode("ascii", "replace").strip())
    except EvidenceError as error:
        raise LogDamagedError(f"{path}: {error}") from error
