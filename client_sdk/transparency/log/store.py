"""Files of a log, or of who watches one: each is there whole or not at all, whatever interrupts the writing.

A file is written in a folder that nobody is shown, and then renamed to its place (``client_sdk/writing.py``). One
process at a time writes.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client_sdk.errors import LogBusyError, LogDamagedError, LogStorageError
from client_sdk.writing import PRIVATE, READABLE, flush, write

_PARTIAL = "tmp/partial"
_LOCK = "lock"
_FOLDER_MODE = 0o755
_REMEDY = {errno.ENOSPC: "free space", errno.EDQUOT: "free space", errno.EROFS: "make it writable"}


class Store:
    """A folder; names are paths below it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @contextmanager
    def sole(self) -> Iterator[None]:
        """Hold the folder, which is made where there is none, as its only writer.

        Raises:
            LogBusyError: another process holds it.
            LogStorageError: it cannot be held.
        """
        with _telling(self.home, "hold"):
            self._make(self.home)
            descriptor = os.open(self.home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            with _telling(self.home, "hold"):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise LogBusyError(f"{self.home}: another run writes here; run it again after it") from error
            yield
        finally:
            with _telling(self.home, "let go of"):
                os.close(descriptor)  # and the lock is gone, as it is when the process dies

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Return a file, None where there is none.

        Raises:
            LogStorageError: it cannot be read.
            LogDamagedError: it is over the limit.
        """
        with _telling(self.home / name, "read"):
            try:
                with (self.home / name).open("rb") as file:
                    found = file.read(limit + 1)
            except FileNotFoundError:
                return None
        if len(found) > limit:
            raise LogDamagedError(f"{self.home / name}: over the {limit} bytes that it can have")
        return found

    def put(self, name: str, data: bytes, *, mode: int = READABLE) -> None:
        """Write a file; who reads it meanwhile sees the old one or the new one.

        Raises:
            LogStorageError: it cannot be written; the old one is still there.
        """
        target = self.home / name
        with _telling(target, "write"):
            self._make(target.parent)
            self._make((self.home / _PARTIAL).parent)
            write(target, data, mode=mode, beside=self.home / _PARTIAL)

    def add(self, name: str, data: bytes) -> None:
        """Write a file that never changes; it may be there already, with the same bytes.

        Raises:
            LogStorageError: it cannot be written.
            LogDamagedError: other bytes are there.
        """
        found = self.read(name, limit=len(data))
        if found is None:
            self.put(name, data)
        elif found != data:
            raise LogDamagedError(f"{self.home / name}: other bytes are in it than the log has written")

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone already.

        Raises:
            LogStorageError: it cannot be removed.
        """
        target = self.home / name
        with _telling(target, "remove"):
            try:
                target.unlink()
            except FileNotFoundError:
                return
            flush(target.parent)

    def remove_folder(self, name: str) -> None:
        """Remove a folder of files; it may be gone already.

        Raises:
            LogStorageError: it cannot be removed.
        """
        folder = self.home / name
        with _telling(folder, "remove"):
            if not folder.is_dir():
                return
            for entry in folder.iterdir():
                entry.unlink()
            folder.rmdir()
            flush(folder.parent)

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        try:
            folder.mkdir(_FOLDER_MODE)
        except FileExistsError:
            return
        flush(folder.parent)


@contextmanager
def _telling(path: Path, what: str) -> Iterator[None]:
    """Turn what the system says into our error."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDY.get(error.errno or 0, "see to it")
        message = f"cannot {what} {path}: {error.strerror}; {remedy} and run it again, it goes on where it was"
        raise LogStorageError(message) from error
