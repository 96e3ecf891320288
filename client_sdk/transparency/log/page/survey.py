"""Entries of a log, sorted into an overview: whose they are, and what became of each release.

Nothing here reads a clock: whether a release was in force is judged at the instant of the newest cosignature, so that
the same log has the same page.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from client_sdk.dsse import Envelope, key_id, signers
from client_sdk.errors import AttestationError, EvidenceError, VerificationError
from client_sdk.manifest import Manifest, digest
from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from client_sdk.rotation import read_rotation, verify_rotation
from client_sdk.transparency.formats.checkpoint import SignedCheckpoint
from client_sdk.transparency.formats.note import NoteVerifier, UnverifiedNote
from client_sdk.transparency.log.page.overview import (
    Fate,
    Listed,
    Named,
    Other,
    Overview,
    Rotated,
    Service,
    Shelf,
    State,
    Witnessed,
)

KEPT_OTHERS = 100
"""Entries of others that are listed: a public log may have millions."""
ManifestOf = Callable[[bytes], bytes | None]


@dataclass(slots=True, frozen=True)
class _Sorting:
    """What was found so far of one publisher: his key sets, oldest first, and his entries in the log's order."""

    name: str
    sets: list[Publisher]
    entries: list[Listed] = field(default_factory=list)
    rotations: list[Rotated] = field(default_factory=list)


def survey(
    seen: SignedCheckpoint,
    entries: Iterable[bytes],
    publishers: Sequence[Named],
    *,
    log: NoteVerifier,
    witnesses: Sequence[NoteVerifier] = (),
    manifest_of: ManifestOf,
) -> Overview:
    """Sort the entries of a log: all of them, from the first on, as the checkpoint that was opened has them.

    ``manifest_of`` returns the file of a digest, where there is one; one that is no such manifest is left aside.
    """
    sorting = tuple(_Sorting(named.name, [named.publisher]) for named in publishers)
    others: deque[Other] = deque(maxlen=KEPT_OTHERS)
    count = 0
    for index, data in enumerate(entries):
        what = _sort(index, data, sorting, manifest_of)
        if what:
            count += 1
            others.append(Other(index, sha256(data).digest(), what))
    watched = _witnesses(seen, witnesses)
    as_at = max((found.at for found in watched if found.at is not None), default=None)
    shelves = tuple(_shelf(found, as_at) for found in sorting)
    return Overview(log, seen, watched, _strangers(seen, (log, *witnesses)), shelves, tuple(others), count)


def _shelf(found: _Sorting, as_at: datetime | None) -> Shelf:
    services, rotations = tuple(_services(found.entries, as_at)), tuple(found.rotations[::-1])
    return Shelf(found.name, found.sets[0], found.sets[-1], services, rotations)


def _sort(index: int, data: bytes, sorting: Sequence[_Sorting], manifest_of: ManifestOf) -> str:
    """Put an entry where it belongs; return what it is where it belongs to nobody."""
    for found in sorting:
        if (entry := _released(index, data, found.sets, manifest_of)) is not None:
            found.entries.append(entry)
            return ""
        if (following := _following(data, found.sets[-1])) is not None:
            found.sets.append(following)
            found.rotations.append(Rotated(index, read_rotation(data), sha256(data).digest()))
            return ""
    return _stranger(data)


def _released(index: int, data: bytes, sets: Sequence[Publisher], manifest_of: ManifestOf) -> Listed | None:
    for place in reversed(range(len(sets))):
        try:
            release = open_release(data, sets[place])
        except VerificationError:
            continue
        except EvidenceError:
            return None
        by = tuple(key_id(key) for key in signers(Envelope.from_json(data), sets[place].public_keys))
        manifest = _manifest(manifest_of(release.manifest_sha256), release.manifest_sha256)
        return Listed(index, release, data, by, place + 1 < len(sets), manifest)
    return None


def _manifest(data: bytes | None, named: bytes) -> Manifest | None:
    if data is None or digest(data) != named:
        return None
    try:
        return Manifest.from_json(data)
    except EvidenceError:
        return None


def _following(data: bytes, publisher: Publisher) -> Publisher | None:
    try:
        return verify_rotation(data, publisher)
    except AttestationError:
        return None


def _stranger(data: bytes) -> str:
    try:
        Envelope.from_json(data)
    except AttestationError:
        return "not an envelope of a release or a key rotation"
    try:
        read_rotation(data)
    except AttestationError:
        return "signed by none of the publishers of this page, or not a release"
    return "a key rotation that does not follow the keys of a publisher of this page"


def _services(entries: Sequence[Listed], as_at: datetime | None) -> Iterator[Service]:
    by_name: dict[str, list[Listed]] = {}
    for entry in entries:
        by_name.setdefault(entry.release.service, []).append(entry)
    for name in sorted(by_name):
        yield Service(name, _fates(by_name[name], as_at), tuple(_faults(by_name[name])))


def _fates(entries: Sequence[Listed], as_at: datetime | None) -> tuple[Fate, ...]:
    """Return the releases of a service, newest first, by number; those of one number by their place in the log."""
    ordered = sorted(entries, key=lambda entry: (entry.release.number, entry.index), reverse=True)
    revokers: dict[int, Listed] = {}
    followers: dict[int, Listed] = {}
    for entry in entries:
        for number in entry.release.revokes:
            revokers.setdefault(number, entry)
        if entry.release.supersedes is not None:
            followers.setdefault(entry.release.supersedes, entry)
    newest = next((entry for entry in ordered if entry.release.number not in revokers), None)
    return tuple(
        Fate(
            entry,
            *_state(entry, as_at, revokers.get(entry.release.number), followers.get(entry.release.number), newest),
            successor=newest if newest and newest.release.number > entry.release.number else None,
            before=before,
        )
        for entry, before in zip(ordered, [*ordered[1:], None], strict=True)
    )


def _state(
    entry: Listed, as_at: datetime | None, revoker: Listed | None, follower: Listed | None, newest: Listed | None
) -> tuple[State, Listed | None]:
    """Return what became of a release, and by which other one."""
    if revoker:
        return State.REVOKED, revoker
    if as_at is not None and as_at >= entry.release.not_after:
        return State.ENDED, None
    if as_at is not None and as_at < entry.release.not_before:
        return State.EARLY, None
    if follower:
        return State.SUPERSEDED, follower
    if newest and newest.release.number > entry.release.number:
        return State.OLDER, newest
    return State.NEWEST, None


def _faults(entries: Sequence[Listed]) -> Iterator[str]:
    """Yield what an honest publisher's log would not show."""
    numbers = Counter(entry.release.number for entry in entries)
    for number in sorted(number for number, count in numbers.items() if count > 1):
        same = {entry.release.manifest_sha256 for entry in entries if entry.release.number == number}
        how = "with different contents" if len(same) > 1 else "for the same image"
        yield f"Release {number} is in the log {numbers[number]} times, {how}."
    highest = 0
    for entry in entries:
        if entry.release.number < highest:
            yield f"Release {entry.release.number} (entry {entry.index}) was logged after release {highest}."
        highest = max(highest, entry.release.number)
    for entry in entries:
        if entry.late:
            yield f"Release {entry.release.number} (entry {entry.index}) is signed by keys that had been replaced."


def _witnesses(seen: SignedCheckpoint, asked: Sequence[NoteVerifier]) -> tuple[Witnessed, ...]:
    times = {signed.by: signed.at for signed in seen.witnessed}
    return tuple(Witnessed(key, _instant(times.get(key))) for key in asked)


def _instant(at: int | None) -> datetime | None:
    """Return POSIX time as an instant; one that no calendar has is as good as none."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _strangers(seen: SignedCheckpoint, known: Iterable[NoteVerifier]) -> tuple[str, ...]:
    keys = {(key.name, key.key_id) for key in known}
    lines = UnverifiedNote.from_bytes(seen.data).signatures
    return tuple(line.name for line in lines if (line.name, line.key_id) not in keys)
