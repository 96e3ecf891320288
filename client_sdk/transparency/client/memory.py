"""What a client remembers, in a folder of its own: one file, replaced as a whole, by one process at a time (R3, R6).

Whoever may write to the folder can make the client forget, and whoever restores it from a backup does so; of a loss
the report tells, as far as it shows. No key and no prompt is in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from client_sdk.errors import EvidenceError
from client_sdk.given import require, require_path
from client_sdk.transparency.client.seen import MAX_FILE, Seen
from client_sdk.writing import PRIVATE, write

try:
    import fcntl
except ImportError:  # a system without POSIX's locks
    fcntl = None  # type: ignore[assignment]

KEPT, NEW, LOST = "kept", "new", "lost"
PATIENCE = 10.0  # seconds: a judgement holds the lock for a few milliseconds
_FILE, _LOCK = "memory.json", "memory.lock"


class Held:
    """What is remembered, while nobody else may change it; ``state`` is kept, new, lost, or None without a memory."""

    __slots__ = ("_write", "seen", "state")

    def __init__(self, seen: Seen, state: str | None, write: Callable[[bytes], object]) -> None:
        self.seen, self.state, self._write = seen, state, write

    @classmethod
    def nothing(cls) -> Held:
        """Stand for no memory at all."""
        return cls(Seen(), None, _nowhere)

    def keep(self, seen: Seen) -> None:
        """Remember this instead, before anything else happens.

        Raises:
            EvidenceError: it cannot be written; what was there before still is.
        """
        if seen == self.seen and self.state == KEPT:
            return
        data = seen.to_json()
        Seen.from_json(data)  # what could not be read again would make every later verification fail
        self._write(data)
        self.seen = seen


class Passing:
    """A memory that no file has, gone with the process: to find out what a client with a memory would say."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen = Seen()

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Hold it; nobody else has it."""
        held = Held(self._seen, NEW if self._seen == Seen() else KEPT, _nowhere)
        try:
            yield held
        finally:  # also after a refusal, of which something is remembered
            self._seen = held.seen


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory in a folder, which is made where there is none.

    Raises:
        EvidenceError: the folder is given as something else than a path.
    """

    folder: Path | str

    def __post_init__(self) -> None:
        require(self.folder, (str, Path), "memory", expected="the path of a folder", remedy='write Memory("state")')
        if not str(self.folder):
            raise EvidenceError("memory", 'an empty path is no folder: write Memory("state"), or memory=None for none')
        require_path(self.folder, "memory")

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Hold the memory: others wait, threads of this process as well.

        Raises:
            EvidenceError: the folder or the file in it cannot be used, or somebody holds it for too long.
        """
        folder = Path(self.folder)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _trouble(folder, "cannot be used", error) from error
        try:
            _lock(descriptor, folder)
            yield _read(folder, descriptor)
        finally:
            os.close(descriptor)  # which unlocks


def as_memory(given: Memory | Passing | Path | str | None) -> Memory | Passing | None:
    """Take a folder for the memory in it.

    Raises:
        EvidenceError: it is something else.
    """
    if given is None or isinstance(given, (Memory, Passing)):
        return given
    return Memory(given)


def _lock(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        raise EvidenceError(f"memory {folder}", "this system has no locks that keep several processes apart")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise EvidenceError(f"memory {folder}", "another process holds it and does not let go") from error
            time.sleep(0.01)
        except OSError as error:
            raise _trouble(folder, "cannot be locked", error) from error
        else:
            return


def _read(folder: Path, descriptor: int) -> Held:
    """Read the file. The lock's has a byte in it from the first time on: a memory that should be there is missed."""
    try:
        data, marked = _bytes(folder / _FILE), os.fstat(descriptor).st_size > 0
    except OSError as error:
        raise _trouble(folder, "cannot be read", error) from error
    write = partial(_keep, folder, descriptor)
    if data is None:
        return Held(Seen(), LOST if marked else NEW, write)
    try:
        return Held(Seen.from_json(data), KEPT, write)
    except EvidenceError as error:
        what = f"{_FILE} is damaged ({error}); whoever removes it makes this client forget what it has seen"
        raise EvidenceError(f"memory {folder}", what) from error


def _keep(folder: Path, lock: int, data: bytes) -> None:
    try:
        write(folder / _FILE, data, mode=PRIVATE)
        _mark(lock)
    except OSError as error:
        raise _trouble(folder, "cannot be written", error) from error


def _nowhere(_data: bytes) -> None:
    """Write to no file."""


def _mark(descriptor: int) -> None:
    """Note that there is a memory: after it was written, so that a crash between both is no loss."""
    if not os.fstat(descriptor).st_size:
        os.pwrite(descriptor, b"1", 0)
        os.fsync(descriptor)


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None


def _trouble(folder: Path, what: str, error: OSError) -> EvidenceError:
    return EvidenceError(f"memory {folder}", f"{what}: {error.strerror}")
