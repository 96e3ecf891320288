"""What a release must be to be signed and to be published: by itself, after those before it, and beside its manifest.

(1) Its dates are in order, and it is in force for a while yet. (2) It revokes earlier releases only, and all that was
revoked before. (3) Its number is higher than every published one, and it says which it follows. (4) It is of the same
service. (5) What was revoked does not come back under another number. (6) The manifest is the one that it names, and
the measurements are of the image that the manifest is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from client_sdk.errors import EvidenceError
from client_sdk.fields import format_instant
from client_sdk.manifest import Manifest, digest
from client_sdk.release import Release
from client_sdk.rotation import FIRST, KeySet, Rotation
from provisioner.errors import Fault, ReleaseError

_AGAIN = "put that right, create the release again, and have it signed again: no signature covers another text"


@dataclass(frozen=True, slots=True)
class History:
    """What a publisher published: releases in the order of their numbers, and the rotations of his keys."""

    releases: tuple[Release, ...] = ()
    rotations: tuple[Rotation, ...] = ()

    @property
    def last(self) -> Release | None:
        """The newest release."""
        return self.releases[-1] if self.releases else None

    @property
    def revoked(self) -> frozenset[int]:
        """The numbers of all releases that the newest one revokes."""
        return frozenset(self.last.revokes if self.last else ())


def require_sound(release: Release, *, now: datetime) -> None:
    """Refuse what can be seen to be wrong of a release alone: (1), and of (2) what needs no history.

    Raises:
        ReleaseError: every fault.
    """
    _refuse(_of_itself(release, now), _AGAIN)


def require_next(release: Release, history: History, *, now: datetime) -> None:
    """Refuse a release that may not follow those that are published: (1) to (5).

    Raises:
        ReleaseError: every fault.
    """
    _refuse((*_of_itself(release, now), *_after(release, history), *_back(release, history)), _AGAIN)


def require_manifest(release: Release, manifest: bytes) -> Manifest:
    """Return the manifest where it is the release's own: (6).

    Raises:
        ReleaseError: it is another one, was changed, or is of another image.
    """
    remedy = "give the manifest of the image that this release is of, as the bake wrote it"
    found, wanted = digest(manifest), release.manifest_sha256
    if found != wanted:
        fault = Fault("manifest", f"the SHA-256 {wanted.hex()}, which the release names", found.hex())
        raise ReleaseError((fault,), remedy)
    try:
        read = Manifest.from_json(manifest)
    except EvidenceError as error:
        raise ReleaseError((Fault("manifest", "a manifest of this version", str(error)),), remedy) from error
    named = read.boot.uki_authenticode
    others = [one for one in release.measurements if one.image_authenticode != named]
    _refuse(
        (
            Fault(
                f"measurements, {one.platform} {one.boot_mode}",
                f"the image {named.hex()}, which the manifest is about",
                one.image_authenticode.hex(),
            )
            for one in others
        ),
        "predict the measurements anew, from the image of this manifest",
    )
    return read


def require_rotation(rotation: Rotation, current: KeySet, history: History) -> None:
    """Refuse a rotation that does not follow.

    Raises:
        ReleaseError: every fault.
    """
    _refuse(_of_rotation(rotation, current, history), "create the rotation again, from the keys that are in force now")


def next_number(history: History, source: int) -> int:
    """Return the number that a release gets which comes from a deployment's release of this number."""
    return max(source, 1 if history.last is None else history.last.number + 1)


def next_rotation(history: History) -> int:
    """Return the number of the next rotation."""
    return history.rotations[-1].number + 1 if history.rotations else FIRST


def _of_itself(release: Release, now: datetime) -> Iterator[Fault]:
    dates = f"{format_instant(release.not_before)} to {format_instant(release.not_after)}"
    if release.not_before >= release.not_after:
        yield Fault("not_after", "an instant after not_before", dates)
    elif release.not_after <= now:
        yield Fault("not_after", f"an instant after {format_instant(now)}", dates)
    if later := [number for number in release.revokes if number >= release.number]:
        yield Fault("revokes", f"numbers below its own, {release.number}", str(later[0]))
    if list(release.revokes) != sorted(set(release.revokes)):
        yield Fault("revokes", "each number once, in order", ", ".join(map(str, release.revokes))[:200])
    if release.supersedes is not None and release.supersedes >= release.number:
        yield Fault("supersedes", f"a number below its own, {release.number}", str(release.supersedes))


def _after(release: Release, history: History) -> Iterator[Fault]:
    last = history.last
    if last is None:
        return
    if release.number <= last.number:
        yield Fault("number", f"a number above {last.number}, the newest that is published", str(release.number))
    if release.supersedes != last.number:
        yield Fault("supersedes", f"{last.number}, the newest that is published", str(release.supersedes))
    if release.service != last.service:
        yield Fault("service", f"{last.service}, as before; another service has a folder of its own", release.service)
    if release.not_before < last.not_before:
        was, now = format_instant(last.not_before), format_instant(release.not_before)
        yield Fault("not_before", f"no earlier than {was}, that of release {last.number}", now)
    if forgotten := sorted(history.revoked - set(release.revokes)):
        yield Fault("revokes", f"what was revoked before: {', '.join(map(str, forgotten))}", _numbers(release.revokes))
    if unknown := [number for number in release.revokes if number > last.number]:
        yield Fault("revokes", f"numbers of published releases, up to {last.number}", str(unknown[0]))


def _back(release: Release, history: History) -> Iterator[Fault]:
    """Say where the successor of a revoked release is missing: the new one is the revoked one again."""
    for one in history.releases:
        if one.number in release.revokes and _content(one) == _content(release):
            expected = f"another image, or other measurements, than those of release {one.number}, which it revokes"
            yield Fault("manifest", expected, f"the same: the successor of release {one.number} is missing")
            return


def _content(release: Release) -> tuple[object, ...]:
    return (release.manifest_sha256, release.measurements)


def _of_rotation(rotation: Rotation, current: KeySet, history: History) -> Iterator[Fault]:
    if rotation.previous != current.digest:
        yield Fault("previous_sha256", f"{current.digest.hex()}, the publisher's keys now", rotation.previous.hex())
    if rotation.number != next_rotation(history):
        yield Fault("number", f"{next_rotation(history)}, the next one", str(rotation.number))


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _refuse(faults: Iterator[Fault] | tuple[Fault, ...], remedy: str) -> None:
    if found := tuple(faults):
        raise ReleaseError(found, remedy)
