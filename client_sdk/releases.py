"""The releases that a caller gives: which of them are signed, in date and not revoked, and why others are left out.

(1) R4: there is at least one.
(2) R1: the pinned publisher signed each of them; one that he did not sign is refused, whatever the others say.
(3) R6: those outside their dates are left out as long as one is inside.
(4) R3: those that another of them revokes, whatever its own dates, are left out as long as one stays: what was revoked
    once does not come back when the release that said so has run out.

It judges what it is given: that no newer release exists, or one that revokes these, is not known without a log (R2, R5)
and a memory of the highest number seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from client_sdk.errors import AttestationError, EvidenceError, Failure, PolicyError, VerificationError
from client_sdk.given import require, require_all, require_instant
from client_sdk.publisher import Publisher, require_publisher
from client_sdk.release import Release, open_release, verify_dates
from client_sdk.report import Ledger, Row
from client_sdk.rules import keeps
from client_sdk.sources import Parts, digests

MAX_RELEASE = 4 * 1024 * 1024
ReleaseSource = str | Path | bytes
ReleaseSources = ReleaseSource | Sequence[ReleaseSource]


@dataclass(frozen=True, slots=True)
class Opened:
    """Releases to compare with, the checks that say so, and a sentence for each one that was left out.

    ``files`` are all that were given, as they were read.
    """

    releases: tuple[Release, ...]
    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()
    files: tuple[bytes, ...] = ()

    @property
    def received(self) -> Parts:
        """The files, for the digests in a report."""
        return (("releases", self.files),) if self.files else ()


@keeps("R4")
def open_releases(sources: ReleaseSources, publisher: Publisher, *, now: datetime) -> Opened:
    """Read one or many releases.

    Raises:
        EvidenceError: a file cannot be read.
        VerificationError: R1 for any of them; R6 or R3 when none is left.
        PolicyError: R4, there is none.
    """
    require_publisher(publisher)
    require_instant(now, "now")
    many = _many(sources)
    if not many:
        raise PolicyError((Failure("R4: there is a release to compare with", "at least one", "none"),))  # (1)
    ledger, files = Ledger(), tuple(_read(source) for source in many)
    try:
        opened = [_signed(*one, publisher, ledger) for one in zip(many, files, strict=True)]  # (2)
        dated, outside = _in_date(opened, now=now, ledger=ledger)  # (3)
        left, revoked = _not_revoked(dated, [release for release, _ in opened], ledger)  # (4)
    except AttestationError as error:
        error.checks, error.sources = ledger.checks, digests((("releases", files),))
        raise
    return Opened(left, tuple(ledger.rows), (*outside, *revoked), files)


def _many(sources: ReleaseSources) -> tuple[ReleaseSource, ...]:
    one, remedy = (str, Path, bytes), 'write releases="release.json", or a tuple of paths'
    expected = "paths or bytes of signed releases"
    require(sources, (*one, Sequence), "releases", expected=expected, remedy=remedy)
    many = (sources,) if isinstance(sources, one) else tuple(sources)
    require_all(many, one, "releases", expected=expected, remedy=remedy)
    return many


def _in_date(
    signed: Iterable[tuple[Release, Ledger]], *, now: datetime, ledger: Ledger
) -> tuple[tuple[Release, ...], tuple[str, ...]]:
    inside: list[Release] = []
    outside: list[tuple[VerificationError, Ledger]] = []
    for release, tried in signed:
        try:
            verify_dates(release, now=now, ledger=tried)
        except VerificationError as error:
            outside.append((error, tried))
        else:
            inside.append(release)
            ledger.rows += tried.rows
    if outside and not inside:
        first, tried = outside[0]
        ledger.rows += tried.rows
        raise first
    return tuple(inside), tuple(str(found) for found, _ in outside)


@keeps("R3")
def _not_revoked(
    releases: tuple[Release, ...], signed: Iterable[Release], ledger: Ledger
) -> tuple[tuple[Release, ...], tuple[str, ...]]:
    revokers = {(r.service, number): r.number for r in signed for number in r.revokes}
    left = tuple(r for r in releases if (r.service, r.number) not in revokers)
    gone = tuple(
        f"release {r.number} is revoked by release {revokers[r.service, r.number]}" for r in releases if r not in left
    )
    ledger.holds(
        "R3",
        "a release is left that none of the others revokes",
        expected="at least one",
        got=tuple(f"release {r.number}" for r in left) or gone,
        condition=left,
    )
    return left, gone


def _signed(source: ReleaseSource, data: bytes, publisher: Publisher, ledger: Ledger) -> tuple[Release, Ledger]:
    """Return a release with the checks of its signatures: they count once its dates are known."""
    tried = Ledger()
    try:
        return open_release(data, publisher, ledger=tried), tried
    except VerificationError:
        ledger.rows += tried.rows
        raise
    except EvidenceError as error:
        if isinstance(source, bytes):
            raise
        raise EvidenceError(f"release {source}", f"this is no release: {error}") from error


def _read(source: ReleaseSource) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_RELEASE + 1)
    except OSError as error:
        raise EvidenceError("release", f"cannot read {source}: {error.strerror}") from error
