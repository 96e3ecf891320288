"""Watching a log for a publisher: every new entry is told once, and the log is held to what it showed before.

(1) R2: the checkpoint is signed by the log's key; R2.tile, R2.missing: its tiles are there and give its root.
(2) R3.fork: a tree of the size that was seen has the root that was seen, and a larger one begins with it.
(3) R3.stale: a smaller tree that is the beginning of the one seen is an old file; R3.shrunken: the files of what was
    seen are gone as well. No answer to what is asked beside it makes a smaller one less than R3.stale. A larger one
    under which nothing can be read is kept: what is shown later is held to it, and after some looks it is R2.missing.
    R3.stale too: no witness signed what is shown since long, where the caller asks for that.
(4) R2.tile: some of the entries that were told before are read again, and are the same.
(5) R3.order: the numbers of each service's releases go up. R3.rotated-away: no keys sign that were replaced. What the
    publisher signed and somebody appends once more is told as such.

A monitor sees what it is shown. That everybody is shown the same is what witnesses are for, and comparing its
checkpoint with another monitor's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from client_sdk.encoding import canonical_json, from_base64, strict_json, to_base64
from client_sdk.errors import (
    DuplicateEntryError,
    EvidenceError,
    FetchError,
    LogDamagedError,
    OutOfOrderError,
    VerificationError,
)
from client_sdk.fields import exact_keys, integer, text, version
from client_sdk.publisher import Publisher
from client_sdk.rules import keeps
from client_sdk.transparency.formats.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from client_sdk.transparency.formats.merkle import verify_consistency
from client_sdk.transparency.formats.note import NoteVerifier
from client_sdk.transparency.formats.tiles import WIDTH
from client_sdk.transparency.log.contents import MAX_STATE, Contents, Entry, RotatedAwayError, led_to
from client_sdk.transparency.log.remote import MissingError, RemoteTree, Source, read_checkpoint

VERSION = 2
RECHECKED = 4
"""Entry bundles that were told before and are read again in each round."""
MOST = 100_000
"""Entries that one round tells; the next goes on."""
PATIENCE = 3
"""Looks one after the other in which a log shows a checkpoint and not what is under it, until that is an alarm."""
_GROWN = "the log has only grown since it was seen"
_SKEW = 300  # seconds that a witness's clock may be ahead
_KEYS = frozenset({"version", "log", "checkpoint", "contents", "unproven", "failed"})


@dataclass(frozen=True, slots=True)
class MonitorState:
    """What a monitor saw last: the checkpoint as it was signed, and what the entries that it told have in them.

    ``unproven`` is the largest signed checkpoint of which it could not see yet whether it continues that one;
    ``failed`` how many looks in a row came to no end after a signed checkpoint.
    """

    checkpoint: bytes
    contents: Contents
    unproven: bytes = b""
    failed: int = 0

    def to_json(self, log: NoteVerifier) -> bytes:
        """Write it, for a file of one's own."""
        contents = to_base64(self.contents.to_json())
        notes = {"checkpoint": to_base64(self.checkpoint), "unproven": to_base64(self.unproven)}
        told = {"version": VERSION, "log": str(log), "contents": contents, "failed": self.failed}
        return canonical_json(told | notes)

    @classmethod
    def from_json(cls, data: bytes, log: NoteVerifier) -> MonitorState:
        """Read it.

        Raises:
            EvidenceError: it is something else.
            LogDamagedError: it is of another log.
        """
        top = exact_keys(strict_json(data, limit=2 * MAX_STATE), _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        if text(top["log"], "$.log") != str(log):
            raise LogDamagedError(f"the state is of the log {top['log']}, not of {log}: give another folder")
        checkpoint = from_base64(top["checkpoint"], "$.checkpoint")
        contents = Contents.from_json(from_base64(top["contents"], "$.contents", limit=MAX_STATE))
        unproven, failed = from_base64(top["unproven"], "$.unproven"), integer(top["failed"], "$.failed")
        return cls(checkpoint, contents, unproven, failed)


@dataclass(frozen=True, slots=True)
class Watched:
    """Whom a monitor watches, and how old a witness's signature may be, in seconds; None: it does not ask."""

    log: NoteVerifier
    publisher: Publisher
    witnesses: tuple[NoteVerifier, ...] = ()
    max_age: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of a log at its place: the publisher's, or of somebody else; or an ``alarm`` about it.

    ``again`` says what of the publisher's it is that was in the log already.
    """

    index: int
    entry: Entry | None = None
    alarm: VerificationError | None = None
    again: str = ""


class Monitor:
    """Looks at a log again and again; ``state`` is what to keep until the next look, also of another process.

    ``seen`` and ``shown`` are the signed checkpoints that an alarm is about: together they prove a fork to anybody.
    """

    def __init__(self, source: Source, watched: Watched, state: MonitorState | None) -> None:
        self._source, self._watched, self.state = source, watched, state
        self.seen, self.shown = b"" if state is None else state.checkpoint, b""

    def look(self, *, now: int, recheck: int | None = RECHECKED, most: int = MOST) -> Iterator[Told]:
        """Yield the new entries; ``state`` moves on with each. ``recheck`` None reads all of the old ones again.

        Raises:
            FetchError: the log cannot be read now.
            EvidenceError: it serves what is malformed.
            VerificationError: R2 or R3, it is not the log that it was. ``state`` stays at what was proven.
        """
        signed = read_checkpoint(self._source, self._watched.log, self._watched.witnesses)  # (1)
        self.shown = signed.data
        try:
            yield from self._look(signed, now, recheck, most)
        except FetchError as error:
            self._failed(signed, error)
            raise

    def _look(self, signed: SignedCheckpoint, now: int, recheck: int | None, most: int) -> Iterator[Told]:
        tree = self._grown(signed)  # (2), (3)
        self._refuse_old(signed, now)
        contents = Contents(self._watched.publisher) if self.state is None else self.state.contents
        failed = 0 if self.state is None else self.state.failed
        for index in _chosen(contents.size, recheck):
            tree.entry_bundle(index)  # (4)
        self.state, self.seen = MonitorState(signed.data, contents, failed=failed), signed.data
        for place, data in tree.entries(contents.size, min(tree.size, contents.size + most)):
            contents, told = _told(contents, place, data)  # (5)
            yield told
            self.state = MonitorState(signed.data, contents)
        self.state = replace(self.state, failed=0)

    @keeps("R2.missing")
    def _failed(self, signed: SignedCheckpoint, error: FetchError) -> None:
        """Keep a checkpoint that could not be looked under; after some looks it is an alarm, whatever is answered."""
        if self.state is None:
            return
        kept, failed = self.state, self.state.failed + 1
        unproven = signed.data if kept.checkpoint != signed.data else kept.unproven
        self.state = replace(kept, unproven=unproven, failed=failed)
        if failed >= PATIENCE:
            what, got = "what the log's checkpoint needs can be read", f"{failed} looks without it: {error}"
            expected = f"the files of {signed.checkpoint.size} entries"
            raise VerificationError("R2.missing", what, expected=expected, got=got) from error

    @keeps("R3.fork")
    def _grown(self, signed: SignedCheckpoint) -> RemoteTree:
        """Return the tree that is shown, after holding it to the one seen."""
        shown = signed.checkpoint
        if self.state is None:
            return RemoteTree(self._source, shown)
        seen = open_checkpoint(self.state.checkpoint, self._watched.log).checkpoint
        unproven = self._unproven(self.state.unproven, seen, shown)
        if shown.size == seen.size and shown.root != seen.root:
            raise VerificationError("R3.fork", _GROWN, expected=_spelt(seen), got=_spelt(shown))
        if shown.size < seen.size:
            raise self._smaller(seen, shown)
        tree = RemoteTree(self._source, shown)
        self._require_grown(tree, seen)
        if unproven is not None:
            self.seen = self.state.unproven
            self._require_grown(tree, unproven)
        return tree

    @keeps("R3.fork", "R3.stale")
    def _unproven(self, note: bytes, seen: Checkpoint, shown: Checkpoint) -> Checkpoint | None:
        """Return the checkpoint that an earlier look could not look under: the log signed it, so it is held to it."""
        if not note:
            return None
        unproven = open_checkpoint(note, self._watched.log).checkpoint
        if shown.size < seen.size or unproven.size < seen.size:
            return None
        if unproven.size == shown.size and unproven.root != shown.root:
            self.seen = note
            raise VerificationError("R3.fork", _GROWN, expected=_spelt(unproven), got=_spelt(shown))
        if shown.size < unproven.size:
            self.seen = note
            what = "the checkpoint is not older than the one shown before, under which nothing could be read"
            raise VerificationError("R3.stale", what, expected=_spelt(unproven), got=_spelt(shown))
        return unproven

    @keeps("R3.fork")
    def _require_grown(self, tree: RemoteTree, old: Checkpoint) -> None:
        """Refuse a tree that does not begin with an old one."""
        shown = tree.checkpoint
        proof = tree.consistency(old.size)  # of proven tiles: if it does not hold, they are another history's
        try:
            verify_consistency(old.size, old.root, shown.size, shown.root, proof)
        except VerificationError as error:
            got = f"another history, at {_spelt(shown)}"
            raise VerificationError("R3.fork", _GROWN, expected=f"what begins with {_spelt(old)}", got=got) from error

    @keeps("R3.fork", "R3.stale", "R3.shrunken")
    def _smaller(self, seen: Checkpoint, shown: Checkpoint) -> VerificationError:
        """Say what a tree is that is smaller than the one seen, whatever the log answers when it is asked for files."""
        expected, got = _spelt(seen), _spelt(shown)
        still = "the log still has what it showed before"
        what = "the checkpoint is not older than the one seen: is an old file served, by a cache say?"
        try:
            proof = RemoteTree(self._source, seen).consistency(shown.size)
        except MissingError:
            return VerificationError("R3.shrunken", still, expected=expected, got=f"{got}, and other files are gone")
        except VerificationError:
            return VerificationError("R3.shrunken", still, expected=expected, got=f"{got}, and other files than then")
        except (FetchError, EvidenceError) as error:
            got = f"{got}; what else is there cannot be read: {error}"
            return VerificationError("R3.stale", what, expected=expected, got=got)
        try:
            verify_consistency(shown.size, shown.root, seen.size, seen.root, proof)
        except VerificationError:
            return VerificationError("R3.fork", _GROWN, expected=expected, got=got)
        return VerificationError("R3.stale", what, expected=expected, got=got)

    @keeps("R3.stale")
    def _refuse_old(self, signed: SignedCheckpoint, now: int) -> None:
        if self._watched.max_age is None:
            return
        times = (found.at or 0 for found in signed.witnessed)
        newest = max((at for at in times if at <= now + _SKEW), default=0)  # none in the future makes others young
        if not newest or now - newest > self._watched.max_age:
            got = (
                f"{now - newest} seconds ago"
                if newest
                else "no signature of a witness that was named, or of the future"
            )
            expected = f"within {self._watched.max_age} seconds"
            raise VerificationError("R3.stale", "a witness signed the checkpoint lately", expected=expected, got=got)


@keeps("R3.order")
def _told(contents: Contents, place: int, data: bytes) -> tuple[Contents, Told]:
    """Return what an entry adds; what is not the publisher's adds nothing."""
    try:
        after, entry = contents.take(data)
    except DuplicateEntryError as error:
        return contents.skip(), Told(place, again=str(error))
    except RotatedAwayError as error:
        return contents.skip(error.following), Told(place, alarm=error)
    except OutOfOrderError as error:
        what = "each release's number is above the last"
        alarm = VerificationError("R3.order", what, expected="a higher number", got=str(error))
        return contents.skip(led_to(data, (contents.publisher,))), Told(place, alarm=alarm)
    except (EvidenceError, VerificationError):
        return contents.skip(), Told(place)
    return after, Told(place, entry)


def _chosen(size: int, recheck: int | None) -> list[int]:
    """Choose entry bundles that were told before."""
    many = -(-size // WIDTH)
    return sorted(random.sample(range(many), many if recheck is None else min(recheck, many)))


def _spelt(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.size} entries with root {checkpoint.root.hex()}"
