"""Writing a log: entries are noted, then put into tiles, and shown last of all by a new checkpoint.

A log's folder has the key and what the log remembers, and in it ``public``: the files that a web server or a bucket
shows (C2SP tlog-tiles). The steps of an append, each of one file that is there whole or not at all (``store``):

(1) ``pending``: the entries, and the size of the tree that they follow. From here on they will be in the log.
(2) Entry bundles and tiles, none of which any checkpoint needs yet.
(3) The checkpoint: signed, cosigned by the quorum of witnesses, then shown.
(4) Partial tiles that became full are removed, what the log has is remembered, ``pending`` is removed.

Whatever interrupts it, the next run goes on from ``pending``: the same entries make the same tiles, so no file that
was shown once changes, and no two trees of one size are ever signed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from client_sdk.encoding import canonical_json, from_base64, strict_json, to_base64
from client_sdk.errors import AttestationError, EvidenceError, LogDamagedError, LogStorageError, UnwitnessedError
from client_sdk.fields import exact_keys, integer, items
from client_sdk.transparency.formats import tiles
from client_sdk.transparency.formats.checkpoint import Checkpoint, open_checkpoint
from client_sdk.transparency.formats.merkle import EMPTY_ROOT, leaf_hash
from client_sdk.transparency.formats.note import (
    MAX_NOTE,
    NoteSigner,
    Signature,
    UnverifiedNote,
    add_signature,
    sign_note,
)
from client_sdk.transparency.formats.tiles import CHECKPOINT, ENTRIES, PUBLIC, WIDTH, Tile
from client_sdk.transparency.log import keyfile, tree
from client_sdk.transparency.log.config import MAX_CONFIG, Config
from client_sdk.transparency.log.contents import MAX_STATE, Contents
from client_sdk.transparency.log.store import Store

KEY, CONFIG = "log.key", "log.json"
PENDING, WAITING, STATE = "pending", "checkpoint.waiting", "contents.json"
BATCH = 256
"""Entries that one checkpoint adds at most."""
_TILES = "tile"
_RESTORE = f"restore the newest state of its log, {CONFIG} and {PUBLIC} with it, or give another folder"
_MAX_PENDING = 2 * tiles.MAX_ENTRY_BUNDLE
Found = TypeVar("Found")
Cosign = Callable[[bytes, tree.Tiles], Sequence[Signature]]
"""Asks witnesses to sign a checkpoint; it may read the tiles for its proofs."""


@dataclass(frozen=True, slots=True)
class Appended:
    """The size of the log, and which of the given entries are in it now at which place."""

    size: int
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Pending:
    """Entries that will be in the log, after the first ``size``."""

    size: int
    entries: tuple[bytes, ...]

    def to_json(self) -> bytes:
        return canonical_json({"size": self.size, "entries": [to_base64(entry) for entry in self.entries]})

    @classmethod
    def from_json(cls, data: bytes) -> _Pending:
        top = exact_keys(strict_json(data, limit=_MAX_PENDING), frozenset({"size", "entries"}), PENDING)
        entries = items(top["entries"], f"{PENDING}.entries", limit=BATCH)
        return cls(integer(top["size"], f"{PENDING}.size"), tuple(from_base64(entry, PENDING) for entry in entries))


def nobody(_checkpoint: bytes, _tiles: tree.Tiles) -> tuple[Signature, ...]:
    """Ask no witness."""
    return ()


def create(home: Path, config: Callable[[NoteSigner], Config], signer: NoteSigner) -> Config:
    """Make a log without entries; of a log that is in the folder already, or was, everything is left as it is.

    Its checkpoint is of the empty tree and waits for no witness; its key comes after that and after what it remembers.
    So a key with both, of size 0, is what an interrupted run has left, and the next one goes on with it; another key is
    somebody's, and is kept.

    Raises:
        LogBusyError, LogStorageError: it cannot be written.
        LogDamagedError: there is a log already, one that lost its configuration, or a key.
    """
    store = Store(home)
    config(signer)  # what cannot be is refused before anything is made
    with store.sole():
        _require_no_log(store)
        if os.path.lexists(home / KEY):
            signer = _unfinished(store, signer.name)
        made = config(signer)
        store.put(f"{PUBLIC}/{CHECKPOINT}", _empty(signer))
        store.put(STATE, Contents(made.publisher).to_json())
        keyfile.create(store, KEY, signer)
        store.put(CONFIG, made.to_json())  # last: with it there is a log
    return made


def _require_no_log(store: Store) -> None:
    home = store.home
    if store.read(CONFIG, limit=MAX_CONFIG) is not None:
        raise LogDamagedError(f"{home}: there is a log already; give another folder")
    for name in (f"{PUBLIC}/{_TILES}", PENDING, WAITING):
        if (home / name).exists():
            told = f"there are parts of a log that has lost its {CONFIG}; restore that, or give another folder"
            raise LogDamagedError(f"{home}: {told}: its key would be lost as well")
    _require_nothing_remembered(store)


def _require_nothing_remembered(store: Store) -> None:
    """Refuse what a log remembers that has entries: begun again under its key, it would be two logs of one name."""
    path, found = store.home / STATE, store.read(STATE, limit=MAX_STATE)
    if found is None:
        return
    try:
        size = Contents.from_json(found).size
    except AttestationError as error:
        raise LogDamagedError(f"{path}: {error}; {_RESTORE}") from error
    if size:
        told = f"expected size 0, of a log that was being made, got size {size}; it is not replaced"
        raise LogDamagedError(f"{path}: {told}: {_RESTORE}")


def _unfinished(store: Store, name: str) -> NoteSigner:
    """Return the key of a log that was not made to its end."""
    path, found = store.home / KEY, keyfile.load(store, KEY)
    if found.name != name:
        how = f"go on with it under that name (--origin {found.name}), or give another folder"
        raise LogDamagedError(f"{path}: expected the key of {name}, got the one of {found.name}; {how}")
    shown = store.read(f"{PUBLIC}/{CHECKPOINT}", limit=MAX_NOTE)
    if shown != _empty(found) or store.read(STATE, limit=MAX_STATE) is None:  # both are written before the key
        made = f"{PUBLIC}/{CHECKPOINT} and {STATE}"
        told = f"there is a key, and not the {made} of a log that was being made; it is not replaced"
        raise LogDamagedError(f"{path}: {told}: {_RESTORE}")
    return found


def _empty(signer: NoteSigner) -> bytes:
    return sign_note(Checkpoint(signer.name, 0, EMPTY_ROOT).to_text(), signer)


class LogWriter:
    """A log of one's own.

    Raises:
        LogStorageError: there is none, or it cannot be read.
        LogDamagedError: what is there is no log, or its key is another's.
    """

    def __init__(self, home: Path) -> None:
        self._store = Store(home)
        self.public = home / PUBLIC
        found = self._store.read(CONFIG, limit=MAX_CONFIG)
        if found is None:
            raise LogStorageError(f"cannot read {home / CONFIG}: there is no log; make one with vitrine log init")
        self.config = _reading(home / CONFIG, lambda: Config.from_json(found))
        self._signer = keyfile.load(self._store, KEY)
        if self._signer.verifier != self.config.log:
            raise LogDamagedError(f"{home / KEY}: it is not the key of {self.config.log.name}")

    def append(self, entries: Sequence[bytes], cosign: Cosign = nobody) -> Appended:
        """Add entries, at most ``BATCH`` with each checkpoint; what an interrupted run has left is finished first.

        An entry that this run finishes for an earlier one is no duplicate.

        Raises:
            EvidenceError, VerificationError: R1, an entry is not the publisher's.
            DuplicateEntryError, OutOfOrderError: an entry cannot follow. None of the given ones is added then.
            LogBusyError, LogStorageError, LogDamagedError: the log cannot be written.
            UnwitnessedError: too few witnesses signed. The entries are noted: the next run goes on.
        """
        with self._store.sole():
            finished = self._resume(cosign)
            before = after = self._contents()
            fresh = [entry for entry in entries if entry not in finished]
            for number, entry in enumerate(fresh):
                try:
                    after, _ = after.take(entry)
                except EvidenceError as error:
                    raise EvidenceError(f"entry {number + 1}", str(error)) from error
            for start in range(0, len(fresh), BATCH):
                pending = _Pending(before.size + start, tuple(fresh[start : start + BATCH]))
                self._store.put(PENDING, pending.to_json())  # (1)
                self._resume(cosign)
            places = finished | {entry: before.size + number for number, entry in enumerate(fresh)}
            return Appended(after.size, tuple(places[entry] for entry in entries))

    def renew(self, cosign: Cosign) -> int:
        """Ask the witnesses to sign again what is shown, so that it is young again; return the log's size.

        Raises:
            LogError: it cannot be written, or too few signed.
        """
        with self._store.sole():
            self._resume(cosign)
            published = self._published()
            self._show(self._store.read(f"{PUBLIC}/{CHECKPOINT}", limit=MAX_NOTE) or b"", cosign)
            self._store.remove(WAITING)
            return published.size

    def waiting(self) -> bytes:
        """Return the checkpoint that witnesses should sign: the one that waits for them, or else the one shown.

        Raises:
            LogError: it cannot be read.
        """
        name = f"{PUBLIC}/{CHECKPOINT}"
        found = self._store.read(WAITING, limit=MAX_NOTE) or self._store.read(name, limit=MAX_NOTE)
        return found or b""

    def contents(self) -> Contents:
        """Return what the log has in it.

        Raises:
            LogError: it cannot be read.
        """
        return self._contents()

    def tiles(self, tile: Tile) -> tuple[bytes, ...]:
        """Return the hashes in a tile of the log, as it wrote them.

        Raises:
            LogDamagedError: it is not there.
        """
        return _reading(self.public / tile.path, lambda: tiles.split(self._read(tile), tile.path, width=tile.width))

    def _resume(self, cosign: Cosign) -> dict[bytes, int]:
        """Finish what is pending and return its entries by their places."""
        found = self._store.read(PENDING, limit=_MAX_PENDING)
        if found is None:
            return {}
        path = self._store.home / PENDING
        pending = _reading(path, lambda: _Pending.from_json(found))
        contents, size = self._contents(pending.size), pending.size + len(pending.entries)
        shown = self._published()
        if shown.size == pending.size:
            root = self._grow(pending, shown.root)  # (2)
            self._show(self._signed(Checkpoint(self.config.log.name, size, root)), cosign)  # (3)
        elif shown.size != size:
            raise LogDamagedError(f"{path}: it follows {pending.size} entries, the checkpoint is of {shown.size}")
        self._tidy(pending.size, size)  # (4)
        if contents.size == pending.size:
            for entry in pending.entries:
                contents, _ = contents.take(entry)
            self._store.put(STATE, contents.to_json())
        self._store.remove(WAITING)
        self._store.remove(PENDING)
        return {entry: pending.size + number for number, entry in enumerate(pending.entries)}

    def _grow(self, pending: _Pending, root: bytes) -> bytes:
        """Write entry bundles and tiles of the tree with the pending entries, and return its root."""
        if tree.root_of(pending.size, self.tiles) != root:
            raise LogDamagedError(f"{self.public}: its tiles are not those of its checkpoint")
        index = pending.size // WIDTH
        row = list(self._entry_bundle(index, pending.size))
        leaves = self.tiles(tiles.at(0, index, pending.size)) if row else ()
        if tuple(map(leaf_hash, row)) != leaves:
            raise LogDamagedError(f"{self.public}: the last entries are not those of its tiles")
        for entry in pending.entries:
            row.append(entry)
            if len(row) == WIDTH:
                self._keep(Tile(ENTRIES, index), tiles.pack(row))
                row, index = [], index + 1
        if row:
            self._keep(Tile(ENTRIES, index, len(row)), tiles.pack(row))
        growing = tree.Growing(self._keep, pending.size, self.tiles)
        for entry in pending.entries:
            growing.add(leaf_hash(entry))
        return growing.finish()

    def _signed(self, checkpoint: Checkpoint) -> bytes:
        """Return the signed checkpoint, with the cosignatures that an earlier run got for the same one."""
        waiting = self._store.read(WAITING, limit=MAX_NOTE)
        if waiting is not None and UnverifiedNote.from_bytes(waiting).text == checkpoint.to_text():
            return waiting
        return sign_note(checkpoint.to_text(), self._signer)

    def _show(self, note: bytes, cosign: Cosign) -> None:
        """Show a checkpoint to everybody when the quorum of witnesses has signed it."""
        witnesses = tuple(witness.key for witness in self.config.witnesses)
        for signature in cosign(note, self.tiles):
            note = add_signature(note, signature)
        signed = _reading(self._store.home, lambda: open_checkpoint(note, self.config.log, witnesses))
        if len(signed.witnessed) < self.config.quorum:
            self._store.put(WAITING, note)
            missing = sorted({key.name for key in witnesses} - {found.by.name for found in signed.witnessed})
            raise UnwitnessedError(
                f"{len(signed.witnessed)} of {self.config.quorum} witnesses signed the checkpoint of "
                f"{signed.checkpoint.size} entries, not {', '.join(missing)}. It is kept and not shown: run it again"
            )
        self._store.put(f"{PUBLIC}/{CHECKPOINT}", note)

    def _tidy(self, old: int, size: int) -> None:
        """Remove partial tiles whose full ones are there (C2SP tlog-tiles, "Partial Tiles")."""
        for tile in [*tiles.rightmost(old), *_entry_bundles(old)]:
            if tiles.at(tile.level, tile.index, size).width == WIDTH:
                self._store.remove_folder(f"{PUBLIC}/{tile.full.path}.p")

    def _published(self) -> Checkpoint:
        path = self.public / CHECKPOINT
        found = self._store.read(f"{PUBLIC}/{CHECKPOINT}", limit=MAX_NOTE)
        if found is None:
            raise LogDamagedError(f"{path}: there is no checkpoint")
        return _reading(path, lambda: open_checkpoint(found, self.config.log)).checkpoint

    def _contents(self, size: int | None = None) -> Contents:
        """Return what the log has in it; what was not remembered is read again."""
        wanted = self._published().size if size is None else size
        found = self._store.read(STATE, limit=MAX_STATE)
        contents = Contents(self.config.publisher)
        if found is not None:
            contents = _reading(self._store.home / STATE, lambda: Contents.from_json(found))
        if contents.size > max(wanted, self._published().size):
            raise LogDamagedError(f"{self.public}: an older state of the log than the one it had: restore the newest")
        return _reading(self.public, lambda: self._replayed(contents, wanted))

    def _replayed(self, contents: Contents, size: int) -> Contents:
        while contents.size < size:
            for entry in self._entry_bundle(contents.size // WIDTH, size)[contents.size % WIDTH :]:
                contents, _ = contents.take(entry)
        return contents

    def _entry_bundle(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the entries of an entry bundle in the log of a size; none where it would begin there."""
        if index * WIDTH == size:
            return ()
        tile = tiles.at(ENTRIES, index, size)
        if self._store.read(f"{PUBLIC}/{tile.path}", limit=tile.limit) is None:
            tile = tile.full  # it became full, and the partial one was removed
        found = _reading(self.public / tile.path, lambda: tiles.unpack(self._read(tile), tile.path, width=tile.width))
        return found[: size - index * WIDTH]

    def _keep(self, tile: Tile, data: bytes) -> None:
        self._store.add(f"{PUBLIC}/{tile.path}", data)

    def _read(self, tile: Tile) -> bytes:
        found = self._store.read(f"{PUBLIC}/{tile.path}", limit=tile.limit)
        if found is None:
            raise LogDamagedError(f"{self.public / tile.path}: it is not there")
        return found


def _entry_bundles(size: int) -> Iterator[Tile]:
    if size % WIDTH:
        yield tiles.at(ENTRIES, size // WIDTH, size)


def _reading(path: Path, read: Callable[[], Found]) -> Found:
    """Read a file of the log's own; where it is not what the log wrote, the log is damaged."""
    try:
        return read()
    except LogDamagedError:
        raise
    except AttestationError as error:
        raise LogDamagedError(f"{path}: {error}") from error
