"""Reading a log that somebody else keeps, from a folder or over HTTPS: nothing in it is believed that is not proven.

(1) R2: the checkpoint is signed by the log's key.
(2) R2.missing: every file is there that a tree of the checkpoint's size has.
(3) R2.tile: the partial tiles give the root that was signed; every full tile gives the hash of it in the tile above;
    every entry gives its hash in a tile of level 0.

A log whose files are all right may still show others another one: that is for monitors and witnesses to see.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from client_sdk.errors import EvidenceError, FetchError, VerificationError
from client_sdk.rules import keeps
from client_sdk.transparency.formats import tiles
from client_sdk.transparency.formats.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from client_sdk.transparency.formats.merkle import leaf_hash
from client_sdk.transparency.formats.note import MAX_NOTE, NoteVerifier
from client_sdk.transparency.formats.tiles import CHECKPOINT, ENTRIES, PUBLIC, WIDTH, Tile
from client_sdk.transparency.log import tree
from client_sdk.transparency.log.web import AbsentError, Web

_KEPT = 256  # tiles that are remembered, of 8 KiB each


class MissingError(VerificationError):
    """A file is gone that the log's own checkpoint needs."""


class Source(Protocol):
    """Where the files of a log are."""

    def get(self, path: str, *, limit: int) -> bytes:
        """Return a file; ``AbsentError`` where there is none, ``FetchError`` or ``EvidenceError`` as ``Web`` does."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Folder:
    """A log's files in a folder: the public one, or the one of ``vitrine log init`` that it is in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / PUBLIC if (folder / PUBLIC).is_dir() else folder

    def __str__(self) -> str:
        return str(self._folder)

    def get(self, path: str, *, limit: int) -> bytes:
        """Return a file.

        Raises:
            AbsentError: there is none.
            FetchError: it cannot be read.
            EvidenceError: it is over the limit.
        """
        try:
            # What waits for a writer, as a pipe does, would be waited for without end.
            with open(self._folder / path, "rb", opener=_at_once) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise FetchError(f"{self._folder / path} is no file")
                found = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise AbsentError(f"{self._folder / path} is not there") from error
        except OSError as error:
            raise FetchError(f"cannot read {self._folder / path}: {error.strerror}") from error
        if len(found) > limit:
            raise EvidenceError(str(self._folder / path), f"over the {limit} bytes that it can have")
        return found

    def close(self) -> None:
        """Do nothing: no file is open."""


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def source_of(place: str, *, seconds: float) -> Source:
    """Return where a log's files are: a URL, or a folder.

    Raises:
        EvidenceError: a URL that is not one of HTTPS.
    """
    return Web(place, seconds=seconds) if "://" in place else Folder(Path(place))


def read_checkpoint(source: Source, log: NoteVerifier, witnesses: tuple[NoteVerifier, ...] = ()) -> SignedCheckpoint:
    """Return the checkpoint that the log shows now.

    Raises:
        FetchError: it cannot be had.
        EvidenceError: it is malformed.
        VerificationError: R2, the log did not sign it.
    """
    return open_checkpoint(source.get(CHECKPOINT, limit=MAX_NOTE), log, witnesses)  # (1)


class RemoteTree:
    """The tree of a checkpoint, read from a log's files.

    Raises:
        FetchError, EvidenceError: a tile cannot be had, or has another size.
        VerificationError: R2.missing, R2.tile.
    """

    @keeps("R2.tile")
    def __init__(self, source: Source, checkpoint: Checkpoint) -> None:
        self._source, self.checkpoint = source, checkpoint
        self._edge = {tile: self._hashes(tile) for tile in tiles.rightmost(checkpoint.size)}
        self._kept: dict[Tile, tuple[bytes, ...]] = {}
        found = tree.root_of(checkpoint.size, self._edge.__getitem__)
        if found != checkpoint.root:  # (3)
            raise VerificationError(
                "R2.tile",
                "the log's tiles are those of its checkpoint",
                expected=f"root {checkpoint.root.hex()} of {checkpoint.size} entries",
                got=f"root {found.hex()}",
            )

    @property
    def size(self) -> int:
        """How many entries it has."""
        return self.checkpoint.size

    @keeps("R2.tile")
    def hashes(self, tile: Tile) -> tuple[bytes, ...]:
        """Return the hashes in a tile of the tree, after proving that they belong there.

        Raises:
            FetchError, EvidenceError: it cannot be had, or has another size.
            VerificationError: R2.tile.
        """
        known = self._edge.get(tile) or self._kept.get(tile)
        if known is not None:
            return known
        hashes = self._hashes(tile)
        above = tiles.at(tile.level + 1, tile.index // WIDTH, self.size)
        expected = self.hashes(above)[tile.index % WIDTH]
        if tree.fold(hashes) != expected:  # (3)
            what, got = "the log's tiles are those of its checkpoint", f"{tree.fold(hashes).hex()} over {tile.path}"
            raise VerificationError("R2.tile", what, expected=expected.hex(), got=got)
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[tile] = hashes
        return hashes

    @keeps("R2.tile")
    def entry_bundle(self, index: int) -> tuple[bytes, ...]:
        """Return the entries of an entry bundle, after proving that they belong there.

        Raises:
            FetchError, EvidenceError: it cannot be had, or is malformed.
            VerificationError: R2.tile.
        """
        tile = tiles.at(ENTRIES, index, self.size)
        data, found = self._get(tile)
        entries = tiles.unpack(data, found.path, width=found.width)[: tile.width]
        leaves = self.hashes(tiles.at(0, index, self.size))
        for place, (entry, leaf) in enumerate(zip(entries, leaves, strict=True)):
            if leaf_hash(entry) != leaf:  # (3)
                what = "each entry is the one that the log's tree has"
                got = f"{leaf_hash(entry).hex()} of entry {index * WIDTH + place}"
                raise VerificationError("R2.tile", what, expected=leaf.hex(), got=got)
        return entries

    def entries(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield proven entries with their places.

        Raises:
            FetchError, EvidenceError, VerificationError: as ``entry_bundle`` does.
        """
        for index in range(start // WIDTH, -(-end // WIDTH)):
            for place, entry in enumerate(self.entry_bundle(index), index * WIDTH):
                if start <= place < end:
                    yield place, entry

    def entry(self, place: int) -> bytes:
        """Return one entry, proven.

        Raises:
            FetchError, EvidenceError, VerificationError: as ``entry_bundle`` does.
        """
        return self.entry_bundle(place // WIDTH)[place % WIDTH]

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """Make the proof that an entry is in the tree."""
        return tree.inclusion(index, self.size, self.hashes)

    def consistency(self, old: int) -> tuple[bytes, ...]:
        """Make the proof that the tree of an old size begins this one."""
        return tree.consistency(old, self.size, self.hashes)

    def find(self, leaf: bytes) -> int | None:
        """Return the place of a leaf, the last one first; None where it is not in the log."""
        for index in reversed(range(-(-self.size // WIDTH))):
            hashes = self.hashes(tiles.at(0, index, self.size))
            if leaf in hashes:
                return index * WIDTH + hashes.index(leaf)
        return None

    def _hashes(self, tile: Tile) -> tuple[bytes, ...]:
        data, found = self._get(tile)
        return tiles.split(data, found.path, width=found.width)[: tile.width]

    @keeps("R2.missing")
    def _get(self, tile: Tile) -> tuple[bytes, Tile]:
        """Return a file; a full one begins as the partial one that was removed for it."""
        for one in dict.fromkeys((tile, tile.full)):
            with suppress(AbsentError):
                return self._source.get(one.path, limit=one.limit), one
        what = "the log has the files that its checkpoint needs"
        raise MissingError("R2.missing", what, expected=f"{tile.path} in {self._source}", got="nothing")
