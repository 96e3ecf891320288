"""Putting a signed release, or a rotation, into the publisher's log, and making what clients are given of it.

Appending is the log's own work (``client_sdk.transparency.log.writer``): it takes what its publisher signed and nothing
else, and an interrupted run goes on. An entry that it has already is what an interrupted publication left.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk.errors import DuplicateEntryError, OutOfOrderError
from client_sdk.transparency.formats.merkle import leaf_hash
from client_sdk.transparency.log.bundling import make_bundle
from client_sdk.transparency.log.remote import Folder, RemoteTree, read_checkpoint
from client_sdk.transparency.log.writer import CONFIG, LogWriter
from client_sdk.transparency.watchers.submit import Asking
from provisioner.errors import Fault, ReleaseError, SpecError
from provisioner.progress import Progress

SECONDS = 30.0
"""How long each witness is waited for."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Where an entry is in a log, how many entries that has, and the bundle with its proof; empty of a rotation."""

    origin: str
    index: int
    size: int
    bundle: bytes

    def as_dict(self) -> dict[str, Any]:
        """Return it for a program."""
        return {"origin": self.origin, "index": self.index, "size": self.size}


def require_log(home: Path) -> None:
    """Refuse a folder that is no log of the publisher's, before anything is published beside it.

    Raises:
        SpecError: there is none.
    """
    if not (home / CONFIG).is_file():
        expected = "the folder of the publisher's log, as `vitrine log init` made it"
        raise SpecError((Fault("--log", expected, f"{home}, without {CONFIG}"),))


def log_entry(home: Path, entry: bytes, *, of_release: bool, progress: Progress) -> Logged:
    """Append an entry where the log has it not yet, and return where it is.

    Raises:
        ReleaseError: the log has another entry in its place.
        VerificationError: R1, the log's publisher did not sign it.
        LogError: the log cannot be written, or too few of its witnesses signed; run it again.
    """
    log = LogWriter(home)
    try:
        with suppress(DuplicateEntryError):
            log.append([entry], Asking(log.config.witnesses, lambda: int(time.time()), progress, SECONDS))
    except OutOfOrderError as error:
        raise _taken(home, str(error)) from error
    shown = read_checkpoint(Folder(home), log.config.log)
    tree = RemoteTree(Folder(home), shown.checkpoint)
    index = tree.find(leaf_hash(entry))
    if index is None:
        raise _taken(home, "another one, with other signatures")
    bundle = make_bundle(entry, shown, tree, log.contents().rotations).to_json() if of_release else b""
    return Logged(log.config.log.name, index, tree.size, bundle)


def _taken(home: Path, got: str) -> ReleaseError:
    fault = Fault(f"the log in {home}", "this release or rotation, or one that it may follow", got)
    remedy = "what a log has stays in it: create a release after the newest one that it has, and have that signed"
    return ReleaseError((fault,), remedy)
