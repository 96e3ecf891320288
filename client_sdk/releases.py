"""The releases that a caller gives: which of them are signed, logged, in date and not revoked, and why others are not.

(1) R4: there is at least one.
(2) R1: the pinned publisher signed each of them, with the newest of his keys (``keys.py``); one that he did not sign is
    refused, whatever the others say. R5: so did each rebuilder who is pinned.
(3) R2: where a log is pinned, each comes with a proof that the log has it (``judge.py``), and so does each rotation
    that leads from the pinned keys to the newest.
(4) R3: the log has not gone back, nor two views, since this client last looked (``rollback.py``).
(5) R6: those outside their dates are left out as long as one is inside.
(6) R3: those that another of them revokes, or one that this client has seen, whatever its own dates, are left out as
    long as one stays: what was revoked once does not come back when the release that said so has run out.
(7) R3: of those that are left, no service's newest is older than one that this client has seen.

A refusal does not make unseen what was verified on the way to it: rotations, revocations and a log's tree are
remembered all the same, so that it is not cured by leaving the evidence away.

The files named are in ``transparency/client``. (4) and (7) need a memory, and (6) is better with one. Without a log
the publisher is trusted alone (R5): that no newer release exists, or one that revokes these, is then not known. The
report says which of both was missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from client_sdk.errors import AttestationError, EvidenceError, Failure, PolicyError, VerificationError
from client_sdk.given import require, require_all, require_instant, require_path
from client_sdk.publisher import Publisher, require_publisher
from client_sdk.release import Release, open_release, verify_dates
from client_sdk.report import Ledger, Row
from client_sdk.rules import keeps
from client_sdk.sources import Parts, digests
from client_sdk.transparency.client.judge import Logged, judge_proof, judge_rebuilders, judge_rotations
from client_sdk.transparency.client.keys import lead_on, remembered_keys
from client_sdk.transparency.client.learning import Learned
from client_sdk.transparency.client.memory import Held, Memory, Passing, as_memory
from client_sdk.transparency.client.revoked import Revoked, revoked_among
from client_sdk.transparency.client.rollback import judge_numbers, judge_trees
from client_sdk.transparency.client.telling import Facts, Looked, NotRun, tell
from client_sdk.transparency.formats.bundle import Bundle, unpack

MAX_RELEASE = 4 * 1024 * 1024
ReleaseSource = str | Path | bytes
ReleaseSources = ReleaseSource | Sequence[ReleaseSource]


@dataclass(frozen=True, slots=True)
class Opened:
    """Releases to compare with, the checks that say so, and a sentence for each one that was left out.

    ``files`` are all that were given, as they were read; ``revoked`` are those that no service should run any more.
    ``not_run`` and ``facts`` are for the report: what the log and this client's memory say, or that there is none.
    """

    releases: tuple[Release, ...]
    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()
    files: tuple[bytes, ...] = ()
    revoked: tuple[Revoked, ...] = ()
    not_run: NotRun = ()
    facts: Facts = ()

    @property
    def received(self) -> Parts:
        """The files, for the digests in a report."""
        return (("releases", self.files),) if self.files else ()


@dataclass(frozen=True, slots=True)
class _Given:
    """One file: the signed release in it, and the bundle where it is one."""

    source: ReleaseSource
    envelope: bytes
    bundle: Bundle | None


@dataclass(frozen=True, slots=True)
class _Signed:
    """A release that is signed and, where that is asked, logged, with the checks that say so."""

    release: Release
    logged: Logged | None
    tried: Ledger


@keeps("R4")
def open_releases(
    sources: ReleaseSources,
    publisher: Publisher,
    *,
    now: datetime,
    memory: Memory | Passing | Path | str | None = None,
    remember: bool = True,
) -> Opened:
    """Read one or many releases, or bundles; what they say is remembered where there is a memory.

    Without ``remember`` they are held against the memory, and it stays as it is.

    Raises:
        EvidenceError: a file cannot be read, or the memory cannot be used.
        VerificationError: R1, R2 or R5 for any of them; R3 for all; R6 or R3 when none is left.
        PolicyError: R4, there is none.
    """
    require_publisher(publisher)
    require_instant(now, "now")
    many, kept = _many(sources), as_memory(memory)
    if not many:
        raise PolicyError((Failure("R4: there is a release to compare with", "at least one", "none"),))  # (1)
    ledger, files = Ledger(), tuple(_read(source) for source in many)
    try:
        given = [_unpacked(*one) for one in zip(many, files, strict=True)]
        if kept is None:
            opened = _opened(given, publisher, now, Learned(Held.nothing(), now, remember=False), ledger)
        else:
            with kept.held() as held, Learned(held, now, remember=remember) as learned:
                opened = _opened(given, publisher, now, learned, ledger)
    except AttestationError as error:
        error.checks, error.sources = ledger.checks, digests((("releases", files),))
        raise
    return replace(opened, files=files)


def _opened(given: Sequence[_Given], publisher: Publisher, now: datetime, learned: Learned, ledger: Ledger) -> Opened:
    """Judge releases against what is remembered; return what is left of them."""
    seen, log = learned.held.seen, str(publisher.log_key)
    newest, known = remembered_keys(publisher, seen, ledger)
    tree = seen.tree(log)
    for one in given:
        if one.bundle:
            newest, longer = lead_on(newest, known, one.bundle.rotations, seen, ledger)
            fresh = [data for data in longer.rotations if data not in known.rotations]
            followed = [data for data in one.bundle.rotations if data in fresh]
            judge_rotations(one.bundle, followed, publisher, now=now, ledger=ledger)
            known = longer
            learned.keys(known)
    signed = []
    for one in given:
        signed.append(_signed(one, newest, now, ledger))  # (2), (3)
        learned.signed(known, signed[-1].release, log, signed[-1].logged)
    logged, grown = [one.logged for one in signed if one.logged], True
    if logged:
        largest, grown = judge_trees(logged, tree, ledger)  # (4)
        learned.tree(log, largest)
    dated, outside = _in_date(signed, now=now, ledger=ledger)  # (5)
    gone = revoked_among(dated, [one.release for one in signed], known)
    left = _not_revoked(dated, gone, ledger)  # (6)
    judge_numbers(left, known, ledger)  # (7)
    learned.accepted(known, left)
    seen_before = all(known.service(one.service) for one in left)
    remembered = seen_before and (not logged or tree is not None)
    not_run, facts = tell(publisher, Looked(logged, learned.held, remembered=remembered, grown=grown))
    left_out = (*outside, *map(str, gone))
    return Opened(left, tuple(ledger.rows), left_out, revoked=gone, not_run=not_run, facts=facts)


def _many(sources: ReleaseSources) -> tuple[ReleaseSource, ...]:
    one, remedy = (str, Path, bytes), 'write releases="release.json", or a tuple of paths'
    expected = "paths or bytes of signed releases"
    require(sources, (*one, Sequence), "releases", expected=expected, remedy=remedy)
    many = (sources,) if isinstance(sources, one) else tuple(sources)
    require_all(many, one, "releases", expected=expected, remedy=remedy)
    return many


def _in_date(
    signed: Iterable[_Signed], *, now: datetime, ledger: Ledger
) -> tuple[tuple[Release, ...], tuple[str, ...]]:
    inside: list[Release] = []
    outside: list[tuple[VerificationError, Ledger]] = []
    for one in signed:
        try:
            verify_dates(one.release, now=now, ledger=one.tried)
        except VerificationError as error:
            outside.append((error, one.tried))
        else:
            inside.append(one.release)
            ledger.rows += one.tried.rows
    if outside and not inside:
        first, tried = outside[0]
        ledger.rows += tried.rows
        raise first
    return tuple(inside), tuple(str(found) for found, _ in outside)


@keeps("R3")
def _not_revoked(releases: tuple[Release, ...], gone: tuple[Revoked, ...], ledger: Ledger) -> tuple[Release, ...]:
    revoked = [one.release for one in gone]
    left = tuple(release for release in releases if release not in revoked)
    ledger.holds(
        "R3",
        "a release is left that none of the others revokes",
        expected="at least one",
        got=tuple(f"release {release.number}" for release in left) or tuple(map(str, gone)),
        condition=left,
    )
    return left


def _unpacked(source: ReleaseSource, data: bytes) -> _Given:
    try:
        return _Given(source, *unpack(data))
    except EvidenceError as error:
        raise _of(source, error) from error


def _signed(one: _Given, publisher: Publisher, now: datetime, ledger: Ledger) -> _Signed:
    """Return a release with the checks of its signatures and of its proof: they count once its dates are known."""
    tried = Ledger()
    try:
        release = open_release(one.envelope, publisher, ledger=tried)
        judge_rebuilders(one.envelope, publisher, tried)
        return _Signed(release, judge_proof(one.bundle, publisher, now=now, ledger=tried), tried)
    except VerificationError:
        ledger.rows += tried.rows
        raise
    except EvidenceError as error:
        raise _of(one.source, error) from error


def _of(source: ReleaseSource, error: EvidenceError) -> EvidenceError:
    """Name the file that cannot be read, where it is one."""
    return error if isinstance(source, bytes) else EvidenceError(f"release {source}", f"this is no release: {error}")


def _read(source: ReleaseSource) -> bytes:
    if isinstance(source, bytes):
        return source
    require_path(source, "release")
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_RELEASE + 1)
    except OSError as error:
        raise EvidenceError("release", f"cannot read {source}: {error.strerror}") from error
