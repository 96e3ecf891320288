"""What one judgement of releases verifies, and a client remembers, whatever the verdict is (rules R1, R2 and R3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from client_sdk.errors import VerificationError
from client_sdk.release import Release
from client_sdk.transparency.client.judge import Logged
from client_sdk.transparency.client.memory import Held
from client_sdk.transparency.client.rollback import tree_of
from client_sdk.transparency.client.seen import Known, Service, Tree


class Learned:
    """The memory that is held, and what is to be in it; written at the end, also after a refusal.

    Else whoever was refused had only to leave away what proves that he should be. Highest numbers are of accepted
    releases alone. Nothing is written without ``remember``, nor when a file is malformed.
    """

    __slots__ = ("_now", "_remember", "_seen", "held")

    def __init__(self, held: Held, now: datetime, *, remember: bool) -> None:
        self.held, self._seen, self._now, self._remember = held, held.seen, now, remember

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        refused = isinstance(error, VerificationError) and self._seen != self.held.seen
        if self._remember and (error is None or refused):
            self.held.keep(replace(self._seen, since=self._seen.since or self._now))

    def keys(self, known: Known) -> None:
        """Take rotations that were verified."""
        if known.rotations:
            self._seen = self._seen.with_known(replace(known, services=()))

    def signed(self, known: Known, release: Release, log: str, logged: Logged | None) -> None:
        """Take what a release revokes that is signed and logged, and its tree where none of this log was seen."""
        if release.revokes:
            revoked = tuple((number, release.number) for number in release.revokes)
            self._take(known, release.service, Service(1, revoked))
        if logged and self._seen.tree(log) is None:
            self.tree(log, tree_of(logged))

    def tree(self, log: str, tree: Tree) -> None:
        """Take the largest tree, after it was held against the one that was seen."""
        self._seen = self._seen.with_tree(log, tree)

    def accepted(self, known: Known, releases: Iterable[Release]) -> None:
        """Take the publisher, and the numbers of his releases."""
        self._seen = self._seen.with_known(known)
        for release in releases:
            self._take(known, release.service, Service(release.number))

    def _take(self, known: Known, name: str, service: Service) -> None:
        self._seen = self._seen.with_known(replace(known, services=((name, service),)))
