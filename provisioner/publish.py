"""Manifest and release of a baked image: written as candidates, published together once a client has accepted the VM.

A release states what was *predicted* from the artefacts. Nothing here looks at a running VM. Until ``promote`` nothing
that clients were given changes: each candidate lies beside the file that it will replace. Who judges a VM by a
candidate holds the folder (``sole``) until it is published, so that nothing else is published than what was judged.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from client_sdk.binding import DEBUG_LOCKDOWN, LOCKDOWN, NO_GPU, RUNTIME_TYPES, SEALED
from client_sdk.dsse import sign
from client_sdk.errors import AttestationError
from client_sdk.evidence import AZURE
from client_sdk.manifest import Manifest, digest
from client_sdk.publisher import Publisher
from client_sdk.release import EXACT_PCRS, WITHOUT_LOG, Measurement, Release, TemplateEvent, open_release
from provisioner.atomic import replace_file, replace_link
from provisioner.errors import BusyError, Fault, MeasureError, SpecError
from provisioner.image.cmdline import DEBUG
from provisioner.image.shelf import alone
from provisioner.keys import load, load_or_create, public_pem
from provisioner.measure import Prediction, predict
from provisioner.platforms import LOCAL, Platform

LIFETIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=14)
RELEASE, MANIFEST, IMAGE, POLICY = "release.json", "manifest.json", "image", "policy.toml"
CANDIDATES = {
    POLICY: "policy.candidate.toml",  # where the inventory's machines have one, and it says something new
    IMAGE: "image.candidate",
    MANIFEST: "manifest.candidate.json",
    # Last: the release is what clients go by, so whatever else it names is there before it.
    RELEASE: "release.candidate.json",
}
PUBLISHER = "publisher.pub"
KEY = "publisher.key"
NUMBER = "release.number"
RELEASES, MANIFESTS = "releases", "manifests"
_MAX_DIGITS = 18
_LOCK = ".release.lock"
_PCR15 = {"lockdown": LOCKDOWN, "tls-spki": None, "gpu": NO_GPU, "sealed": SEALED}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signed release that nobody has accepted yet; ``changed`` says whether it differs from the published one.

    ``debug`` says that it is of an image with a console, which only the simulated policy takes.
    """

    release: Path
    number: int
    changed: bool
    debug: bool


@contextmanager
def sole(root: Path) -> Iterator[None]:
    """Hold a deployment's release files while a candidate is judged and published: no other run touches them.

    Raises:
        BusyError: another run holds them.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / _LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"{root}: another run prepares or publishes a release; run it again after it") from error
        yield


def prepare(
    image: Path,
    root: Path,
    *,
    service: str,
    now: datetime,
    platforms: tuple[Platform, ...] = (LOCAL,),
    revokes: tuple[int, ...] = (),
) -> Candidate:
    """Write manifest, release and link of an image as candidates, and the publisher's public key.

    The release has one measurement for each of ``platforms`` (``provisioner/platforms.py`` says how to make one), in an
    order of its own: the same platforms make the same bytes, however they are given. It revokes the releases of these
    numbers, and those that the published one revokes; only who holds it learns of that.

    Where the published release, or a candidate that was never accepted, says the same and stays valid for a while,
    it is the candidate again. Everything else gets a number that was never given before.

    Raises:
        SpecError: the publisher's key, the published release or the number's file is not what it should be; or there
            is no platform, or one twice.
        MeasureError: the artefacts cannot be measured.
        BusyError: another run holds the folder.
    """
    ordered = _ordered(platforms)
    with sole(root):
        return _prepare(image, root, service=service, now=now, platforms=ordered, revokes=revokes)


def _prepare(
    image: Path,
    root: Path,
    *,
    service: str,
    now: datetime,
    platforms: tuple[Platform, ...],
    revokes: tuple[int, ...],
) -> Candidate:
    key = load_or_create(root / KEY)
    pinned = public_pem(key)
    manifest = (image / MANIFEST).read_bytes()
    last = _published(root, pinned)
    wanted = _Wanted(
        service=service,
        manifest_sha256=digest(manifest),
        measurements=measured(image, manifest, platforms),
        start=now.replace(microsecond=0),
        revokes=_revoked(revokes, last),
    )
    # Not before: beside a release of another key it would be the wrong one.
    replace_file(root / PUBLISHER, pinned)
    found = _again(root, pinned, wanted, last)
    if found is None:
        release = wanted.release(_next_number(root, last), supersedes=None if last is None else last.number)
        found = (release, sign(release.to_statement(), (key,)))
    replace_link(root / CANDIDATES[IMAGE], image.resolve())
    replace_file(root / CANDIDATES[MANIFEST], manifest)
    replace_file(root / CANDIDATES[RELEASE], found[1])
    return Candidate(
        root / CANDIDATES[RELEASE],
        found[0].number,
        changed=found[0] != last,
        debug=any(measurement.is_debug for measurement in found[0].measurements),
    )


def _revoked(wanted: tuple[int, ...], last: Release | None) -> tuple[int, ...]:
    """Add to what was revoked before; a release cannot revoke one that is still to come."""
    newest = 0 if last is None else last.number
    if unknown := sorted(number for number in wanted if number > newest):
        raise SpecError(
            (Fault("deploy_revokes", f"numbers of releases up to {newest}, the published one", str(unknown[0])),)
        )
    return tuple(sorted({*wanted, *(() if last is None else last.revokes)}))


def make_publisher(root: Path) -> None:
    """Make the publisher's key where there is none yet: platform values are signed with it before the first release.

    Raises:
        SpecError: the key that is there is not what it should be.
    """
    root.mkdir(parents=True, exist_ok=True)
    pinned = public_pem(load_or_create(root / KEY))
    if not (root / PUBLISHER).exists():
        replace_file(root / PUBLISHER, pinned)


def newest_image(root: Path) -> Path | None:
    """Return the folder of the image that was deployed last, accepted or not; None where there is none."""
    links = (root / CANDIDATES[IMAGE], root / IMAGE)
    return next((link.resolve() for link in links if link.is_symlink()), None)


def publisher_of(root: Path) -> Publisher:
    """Return this deployment's own publisher, whose key signs its releases and its platform values.

    Raises:
        SpecError: there is no key, or it is not what it should be.
    """
    return Publisher(keys=(_pinned(root),))


def _pinned(root: Path) -> bytes:
    return public_pem(load(root / KEY))


def _ordered(platforms: tuple[Platform, ...]) -> tuple[Platform, ...]:
    keys = [platform.key for platform in platforms]
    if not keys or len(set(keys)) != len(keys):
        got = ", ".join(" ".join(filter(None, key)) for key in sorted(keys)) or "none"
        raise SpecError((Fault("platforms", "at least one, each with its boot mode once", got),))
    return tuple(sorted(platforms, key=lambda platform: platform.key))


def measured(image: Path, manifest: bytes, platforms: tuple[Platform, ...]) -> tuple[Measurement, ...]:
    """Predict what the image measures; that must be the image which the manifest is about."""
    boot = Manifest.from_json(manifest).boot
    named, debug = boot.uki_authenticode, DEBUG in boot.cmdline.split()
    found = []
    for platform in platforms:
        artefacts = platform.artefacts or image
        prediction = predict(artefacts, boot=platform.boot)
        if prediction.authenticode != named:
            raise MeasureError(
                f"{artefacts}: changed since it was baked; delete the folder, bake again (the UKI's Authenticode "
                f"digest is {prediction.authenticode.hex()}, the manifest says {named.hex()})"
            )
        found.append(measurement_of(prediction, platform, debug=debug))
    return tuple(found)


def withdraw(root: Path, image: Path) -> None:
    """Take candidates away: what is not there, no later acceptance publishes. The image that runs now stays named."""
    for candidate in CANDIDATES.values():
        (root / candidate).unlink(missing_ok=True)
    replace_link(root / CANDIDATES[IMAGE], image.resolve())


def is_published(root: Path, key: str) -> bool:
    """Tell whether the published release is about the image of this key, which the candidate must be of.

    The release is renamed last, so whatever interrupted ``promote``, this says what clients were told.

    Raises:
        SpecError: there is no candidate of that image, or the published release is not this publisher's.
    """
    path, link = root / CANDIDATES[MANIFEST], root / CANDIDATES[IMAGE]
    if not (path.exists() and (root / CANDIDATES[RELEASE]).exists() and link.resolve().name == key):
        wanted = f"the candidate of a release for {key}; a cloud needs platform values first (docs/operator.md)"
        raise SpecError((Fault(str(root / CANDIDATES[RELEASE]), wanted, "none"),))
    last = _published(root, _pinned(root))
    return last is not None and last.manifest_sha256 == digest(path.read_bytes())


def _keep(root: Path) -> None:
    """Keep a copy of the published release under its number: clients may hold it for as long as it is valid.

    So is its manifest, from which anybody sees what changed since (``vitrine release diff``).
    """
    last = _published(root, _pinned(root))
    if last is None:
        return
    (root / RELEASES).mkdir(exist_ok=True)
    replace_file(root / RELEASES / f"{last.number}.json", (root / RELEASE).read_bytes())
    manifest = root / MANIFEST
    # Between two renames of an interrupted run it is the next one's.
    if manifest.is_file() and digest(manifest.read_bytes()) == last.manifest_sha256:
        (root / MANIFESTS).mkdir(exist_ok=True)
        replace_file(root / MANIFESTS / f"{last.number}.json", manifest.read_bytes())


def promote(root: Path) -> Path:
    """Publish the candidates: call it after a client has accepted the VM under them, never before, holding ``sole``.

    The release before stays in ``releases``, by its number. It may be interrupted between two of the renames; the
    next deployment puts that right.

    Raises:
        SpecError: what is published is not this publisher's.
    """
    _keep(root)
    for name, candidate in CANDIDATES.items():
        if name != POLICY or (root / candidate).exists():
            (root / candidate).rename(root / name)
    _keep(root)
    return root / RELEASE


def measurement_of(prediction: Prediction, platform: Platform = LOCAL, *, debug: bool = False) -> Measurement:
    """Turn a prediction into what a release states for one platform.

    PCR 0 is left unpinned on the local one: it moves with the VM's shape there, and only the simulated policy accepts
    that.
    """
    said = _PCR15 | ({"lockdown": DEBUG_LOCKDOWN} if debug else {}) | ({"gpu": None} if platform.gpus else {})
    return Measurement(
        platform=platform.name,
        boot_mode=platform.boot_mode,
        image_pcr=prediction.boot.image_pcr,
        image_authenticode=prediction.authenticode,
        pcrs=tuple((pcr, prediction.pcrs[pcr]) for pcr in (WITHOUT_LOG if platform.name == AZURE else EXACT_PCRS)),
        pcr0_allowed=platform.pcr0_allowed,
        phases=prediction.phases,
        pcr15_template=tuple(TemplateEvent(kind, said[kind]) for kind in RUNTIME_TYPES),
        rtmrs=tuple(sorted(prediction.rtmrs.items())),
        launch_measurements=platform.launch_measurements,
        acpi_allowed=platform.acpi_allowed,
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a release has to say now, whatever its number."""

    service: str
    manifest_sha256: bytes
    measurements: tuple[Measurement, ...]
    start: datetime
    revokes: tuple[int, ...]

    def release(self, number: int, *, supersedes: int | None) -> Release:
        """Make the release that says it under this number."""
        return Release(
            number=number,
            not_before=self.start,
            not_after=self.start + LIFETIME,
            supersedes=supersedes,
            revokes=self.revokes,
            service=self.service,
            manifest_sha256=self.manifest_sha256,
            measurements=self.measurements,
        )

    def is_said_by(self, release: Release) -> bool:
        """Tell whether a release says it already, and for a while yet."""
        same = replace(
            self.release(release.number, supersedes=release.supersedes),
            not_before=release.not_before,
            not_after=release.not_after,
        )
        return release == same and self.start <= release.not_after - RENEW_BEFORE


def _again(root: Path, pinned: bytes, wanted: _Wanted, last: Release | None) -> tuple[Release, bytes] | None:
    """Return the release that says what is wanted, with its signed bytes, where there is one."""
    if last is not None and wanted.is_said_by(last):
        return last, (root / RELEASE).read_bytes()
    path = root / CANDIDATES[RELEASE]
    try:
        candidate = _open(path, pinned) if path.exists() else None
    except AttestationError:
        return None  # whatever it was, it is replaced; its number is not given again
    if candidate is None or candidate.supersedes != (None if last is None else last.number):
        return None
    return (candidate, path.read_bytes()) if wanted.is_said_by(candidate) else None


def _published(root: Path, pinned: bytes) -> Release | None:
    """Return the published release, expired or not: its number must never be given again."""
    path = root / RELEASE
    if not path.exists():
        return None
    try:
        return _open(path, pinned)
    except AttestationError as error:
        wanted = f"a release signed by {root / KEY}; move it and {NUMBER} away to start numbering anew"
        raise SpecError((Fault(str(path), wanted, str(error)),)) from error


def _open(path: Path, pinned: bytes) -> Release:
    return open_release(path.read_bytes(), Publisher(keys=(pinned,)))


def _next_number(root: Path, last: Release | None) -> int:
    """Reserve a number: it is written down before anything is signed under it, and counts as given from then on."""
    path = root / NUMBER
    with alone(path):
        given = _given(path)
        number = 1 + max(given, 0 if last is None else last.number)
        replace_file(path, f"{number}\n".encode())
    return number


def _given(path: Path) -> int:
    if not path.exists():
        return 0
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise SpecError((Fault(str(path), "the highest release number that was ever given", repr(text[:40])),))
    return int(text)
