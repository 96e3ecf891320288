"""`vitrine log verify`: for whoever checks every file of somebody else's log."""

from __future__ import annotations

import argparse
from collections import Counter
from enum import Enum, auto
from typing import Any

from client_sdk.cli.log_edge import files_of, log_key, publisher, require_size, tell, witness_keys
from client_sdk.cli.printing import progress
from client_sdk.errors import DuplicateEntryError, EvidenceError, VerificationError
from client_sdk.rules import keeps
from client_sdk.transparency.client.judge import told_time
from client_sdk.transparency.formats.checkpoint import SignedCheckpoint
from client_sdk.transparency.formats.note import NoteVerifier
from client_sdk.transparency.log.contents import Contents, RotatedAwayError
from client_sdk.transparency.log.remote import RemoteTree, read_checkpoint

_EVERY = 1 << 16  # entries between two words about how far it is


class _Kind(Enum):
    """Whose an entry is: the publisher's and new, the publisher's once more, or nobody knows whose."""

    OWN = auto()
    AGAIN = auto()
    OTHER = auto()


def verify(arguments: argparse.Namespace) -> int:
    """Check every file of a log, and with a publisher that his releases are in order.

    Raises:
        FetchError: it cannot be read.
        EvidenceError, VerificationError: it is not right.
    """
    pinned = publisher(arguments) if arguments.publisher else None
    source = files_of(arguments.place, seconds=arguments.timeout)
    try:
        witnesses = witness_keys(arguments.witness)
        shown = read_checkpoint(source, log_key(arguments.key), witnesses)
        missing = _missing(shown, witnesses)
        require_size(shown.checkpoint.size, arguments.most)
        tree = RemoteTree(source, shown.checkpoint)
        contents = Contents(pinned) if pinned else None
        seen: Counter[_Kind] = Counter()
        for place, entry in tree.entries(0, tree.size):
            if contents is not None:
                contents, kind = _next(contents, entry)
                seen[kind] += 1
            if place % _EVERY == _EVERY - 1:
                progress(f"{place + 1} of {tree.size} entries")
    finally:
        source.close()
    found = _checkpoint(shown) | {"verdict": "right", "not_signed_by": missing}
    if contents is not None:
        numbers = {name: last[0] for name, last in contents.services.items()}
        found |= {"services": numbers, "keys_set": contents.rotation}
        found |= {"others": seen[_Kind.OTHER], "again": seen[_Kind.AGAIN]}
    tell(arguments, found, _verified(found))
    return 0


def _next(contents: Contents, entry: bytes) -> tuple[Contents, _Kind]:
    """Return what there is with an entry, and whose it is.

    Raises:
        RotatedAwayError, OutOfOrderError: R3, clients could be made to believe it.
    """
    try:
        return contents.take(entry)[0], _Kind.OWN
    except DuplicateEntryError:
        return contents.skip(), _Kind.AGAIN
    except RotatedAwayError:
        raise
    except (EvidenceError, VerificationError):
        return contents.skip(), _Kind.OTHER


@keeps("R2.witnesses")
def _missing(shown: SignedCheckpoint, witnesses: tuple[NoteVerifier, ...]) -> list[str]:
    """Name the witnesses that did not sign; where none of those that were named did, the log is not witnessed."""
    missing = sorted({key.name for key in witnesses} - {signed.by.name for signed in shown.witnessed})
    if witnesses and not shown.witnessed:
        what = "one of the witnesses in --witness signed the checkpoint"
        raise VerificationError("R2.witnesses", what, expected=f"one of {', '.join(missing)}", got="none of them")
    return missing


def _checkpoint(shown: SignedCheckpoint) -> dict[str, Any]:
    found = shown.checkpoint
    witnesses = {signed.by.name: told_time(signed.at or 0) for signed in shown.witnessed}
    return {"log": found.origin, "size": found.size, "root": found.root.hex(), "witnesses": witnesses}


def _verified(found: dict[str, Any]) -> str:
    lines = [f"right: {found['log']}, {found['size']} entries, root {found['root']}"]
    lines += [f"witness {name}: {when}" for name, when in found["witnesses"].items()]
    lines += [f"witness {name}: did NOT sign it" for name in found["not_signed_by"]]
    lines += [f"{name}: up to release {number}" for name, number in found.get("services", {}).items()]
    if found.get("others"):
        lines.append(f"{found['others']} entries are not this publisher's")
    if found.get("again"):
        lines.append(f"{found['again']} entries are his, once more: anybody can append what he signed before")
    return "\n".join(lines)
