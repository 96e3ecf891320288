"""A log for people, as values: publishers, their services, releases, key rotations, witnesses.

An overview proves nothing: clients verify a release's own proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from client_sdk.manifest import Manifest
from client_sdk.publisher import Publisher
from client_sdk.release import Release
from client_sdk.rotation import Rotation
from client_sdk.transparency.formats.checkpoint import SignedCheckpoint
from client_sdk.transparency.formats.note import NoteVerifier


class State(Enum):
    """What became of a release, as at the newest cosignature."""

    NEWEST = "newest"
    OLDER = "older"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    ENDED = "out of date"
    EARLY = "not in force yet"


@dataclass(frozen=True, slots=True)
class Named:
    """A publisher with the first set of keys that whoever makes the page has of him, and what to call him."""

    name: str
    publisher: Publisher


@dataclass(frozen=True, slots=True)
class Listed:
    """A release in the log. ``late`` tells that its keys had been replaced, by a rotation before it.

    ``data`` is the signed file, as the log has it.
    """

    index: int
    release: Release
    data: bytes
    signed_by: tuple[str, ...]
    late: bool
    manifest: Manifest | None

    @property
    def is_debug(self) -> bool:
        """Tell whether a measurement is of an image without the whole lock-down."""
        return any(item.is_debug for item in self.release.measurements)


@dataclass(frozen=True, slots=True)
class Fate:
    """A release with what became of it: the state, which release made it so, and which one to use instead."""

    entry: Listed
    state: State
    by: Listed | None = None
    successor: Listed | None = None
    before: Listed | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key rotation in the log."""

    index: int
    rotation: Rotation
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Service:
    """The releases of one service by one publisher, newest first; ``faults`` are sentences about their numbers."""

    name: str
    releases: tuple[Fate, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that is in the log of one publisher: his first keys, which clients may have pinned, and his present ones."""

    name: str
    first: Publisher
    keys: Publisher
    services: tuple[Service, ...]
    rotations: tuple[Rotated, ...]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A witness that was asked for; ``at`` is when it says that it saw the checkpoint, None where it did not sign."""

    key: NoteVerifier
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Other:
    """An entry that is none of the publishers'."""

    index: int
    sha256: bytes
    what: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A log for people. ``strangers`` are names under the checkpoint whose keys were not given: not checked.

    ``others`` are the newest of ``others_count`` entries. ``reports`` are the entries beside whose pages whoever keeps
    the log put a report of ``vitrine verify --html``.
    """

    log: NoteVerifier
    seen: SignedCheckpoint
    witnesses: tuple[Witnessed, ...]
    strangers: tuple[str, ...]
    shelves: tuple[Shelf, ...]
    others: tuple[Other, ...]
    others_count: int
    reports: frozenset[int] = frozenset()

    @property
    def as_at(self) -> datetime | None:
        """The newest instant that a witness vouches for."""
        return max((found.at for found in self.witnesses if found.at is not None), default=None)
