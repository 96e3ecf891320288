"""What the actions of `vitrine log` share: reading what was given, and errors as exit codes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from client_sdk.cli.codes import NO_VERDICT, REFUSED
from client_sdk.cli.options import UsageError
from client_sdk.cli.printing import progress
from client_sdk.errors import (
    EvidenceError,
    FetchError,
    LogBusyError,
    LogError,
    LogStorageError,
    UnwitnessedError,
)
from client_sdk.publisher import Publisher
from client_sdk.transparency.client.pins import read_verifier
from client_sdk.transparency.formats.note import COSIGNATURE, ED25519, NoteVerifier
from client_sdk.transparency.formats.tiles import MAX_ENTRY

_LATER = (LogBusyError, LogStorageError, UnwitnessedError)
_NOT_NOW = "vitrine: not done: "


def told(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run an action; what a log of one's own says against it is told here, all else by the command's edge.

    Raises:
        UsageError, AttestationError: as the action does.
    """
    try:
        return run(arguments)
    except _LATER as error:
        return _say(f"{_NOT_NOW}{error}", NO_VERDICT)
    except LogError as error:
        return _say(f"vitrine: refused: {error}", REFUSED)


def now() -> int:
    """Return the present POSIX time."""
    return int(time.time())


def publisher(arguments: argparse.Namespace) -> Publisher:
    """Read whose releases are meant.

    Raises:
        UsageError: a file is no key, or more keys must sign than there are.
    """
    try:
        return Publisher(keys=tuple(arguments.publisher), threshold=arguments.threshold)
    except EvidenceError as error:
        raise UsageError(f"--publisher, --threshold: {error}") from error


def log_key(given: str) -> NoteVerifier:
    """Read a log's key.

    Raises:
        UsageError: it is none.
    """
    return _key(given, "--log", ED25519)


def witness_keys(given: Sequence[str]) -> tuple[NoteVerifier, ...]:
    """Read witnesses' keys.

    Raises:
        UsageError: one of them is none.
    """
    return tuple(_key(key, "--witness", COSIGNATURE) for key in given)


def require_size(size: int, most: int) -> None:
    """Refuse to read a whole log that says it is larger than anybody expected: whoever made it up has endless tiles.

    Raises:
        FetchError: it is over the limit.
    """
    if size > most:
        raise FetchError(f"the log says that it has {size} entries: give --most {size} to read that many")


def read_file(path: Path, *, limit: int = MAX_ENTRY) -> bytes:
    """Read a file that was named.

    Raises:
        UsageError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            found = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(found) > limit:
        raise UsageError(f"{path}: over the {limit} bytes that it can have")
    return found


def served(name: str, work: Callable[[], object]) -> int:
    """Run what serves until it is interrupted."""
    try:
        progress(f"serving at {name}; end it with Ctrl-C")
        work()
    except KeyboardInterrupt:
        progress("ended")
    return 0


def _key(given: str, where: str, kind: int) -> NoteVerifier:
    try:
        return read_verifier(given, where, kind=kind)
    except EvidenceError as error:
        raise UsageError(str(error)) from error


def _say(text: str, code: int) -> int:
    sys.stdout.flush()
    progress(text)
    return code
