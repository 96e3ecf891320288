"""What the actions of `vitrine log` share: reading and writing the files that were named, and errors as exit codes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from client_sdk.cli.codes import NO_VERDICT, REFUSED
from client_sdk.cli.options import UsageError
from client_sdk.cli.printing import print_json, progress
from client_sdk.errors import (
    EvidenceError,
    FetchError,
    LogBusyError,
    LogError,
    LogStorageError,
    UnwitnessedError,
    printable,
)
from client_sdk.publisher import Publisher
from client_sdk.transparency.client.pins import read_verifier
from client_sdk.transparency.formats.note import COSIGNATURE, ED25519, NoteVerifier
from client_sdk.transparency.formats.tiles import CHECKPOINT, MAX_ENTRY, PUBLIC
from client_sdk.transparency.log.remote import Folder, Source, source_of
from client_sdk.transparency.log.writer import CONFIG, KEY, LogWriter
from client_sdk.writing import READABLE, write

_LATER = (LogBusyError, LogStorageError, UnwitnessedError)
SHOWN = (CHECKPOINT, "tile")
"""What every log has among its files."""
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


def own_log(home: Path) -> LogWriter:
    """Open a log of one's own.

    Raises:
        UsageError: there is none.
        LogError: it cannot be read, or is damaged.
    """
    if not _is_own(home):
        how = "name the folder that vitrine log init made, or make one: vitrine log init"
        if (home / KEY).exists():
            how = f"restore it, it lies beside {KEY}; if vitrine log init was interrupted here, run that again"
        raise UsageError(f"{home} is no log of your own: it has no {CONFIG}; {how}")
    return LogWriter(home)


def own_log_at(place: str, *given: object) -> LogWriter | None:
    """Open the log of one's own at a place; return None where it is what another log shows, or an address.

    ``given`` are a key and a publisher: a log of one's own has both, and no other's are taken in their place.

    Raises:
        UsageError: they are given besides.
        LogError: it cannot be read, or is damaged.
    """
    if "://" in place or not _is_own(Path(place)):
        return None
    if any(given):
        raise UsageError(f"{place} is a log of your own, with its key and its publisher: leave out both")
    return LogWriter(Path(place))


def _is_own(home: Path) -> bool:
    return (home / CONFIG).is_file()


def files_of(place: str, *, seconds: float) -> Source:
    """Return where a log's files are.

    Raises:
        UsageError: it is neither an address nor a folder with anything of a log.
    """
    try:
        source = source_of(place, seconds=seconds)
    except EvidenceError as error:
        raise UsageError(str(error)) from error
    # A log that has lost files is not what a wrong path is: reading it says so.
    if isinstance(source, Folder) and not any((Path(place) / name).exists() for name in (PUBLIC, *SHOWN)):
        how = "name the https:// address of a log, or a folder with its files"
        raise UsageError(f"{place} is no log (no {' or '.join(SHOWN)} in it): {how}")
    return source


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


def write_file(path: Path, data: bytes) -> None:
    """Write a file that was named.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write(path, data, mode=READABLE)
    except OSError as error:
        how = "see to it, and run the same command again"
        raise UsageError(f"cannot write {path}: {error.strerror}; {how}") from error


def tell(arguments: argparse.Namespace, found: dict[str, Any], text: str) -> None:
    """Print what was found: a line of JSON for programs, or lines for people."""
    if arguments.json:
        print_json(found)
    else:
        print_lines(*text.split("\n"))


def print_lines(*lines: str) -> None:
    """Print lines for people, each of them printable: what others named is in them, and a terminal obeys it."""
    print(*map(printable, lines), sep="\n", flush=True)  # noqa: T201 - what a command says


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
