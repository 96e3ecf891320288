"""Publishing what was signed.

(1) Nobody else publishes here at the moment. (2) What the holders signed is put together: one text, signatures of the
publisher's keys alone, and as many as the keys that are in force want. (3) It may follow what is published.
(4) The manifest, and the bill of materials, are those that the release names. (5) What auditors need is put beside it,
(6) the log gets it, and (7) the release itself is shown, last of all. Whatever interrupts it, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.dsse import Envelope
from client_sdk.manifest import digest
from client_sdk.publisher import Publisher
from client_sdk.release import Release
from client_sdk.rotation import Rotation
from provisioner.errors import Fault, ReleaseError, SpecError
from provisioner.progress import Progress
from provisioner.publish import MANIFEST, MANIFESTS, RELEASE, sole
from provisioner.releases import telling
from provisioner.releases.archive import ARCHIVES, publish_archive
from provisioner.releases.checks import require_manifest, require_next, require_rotation
from provisioner.releases.folder import (
    BUNDLE,
    Published,
    existing,
    read_published,
    require_bill,
    require_folder,
    without,
    write_beside,
    write_release,
    write_rotation,
)
from provisioner.releases.logged import Logged, log_entry, require_log
from provisioner.releases.signing import Holders, Signed, open_signed, read_statement, require_loggable


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to publish, where, by whose keys. ``source`` has the manifest, ``archive`` what auditors rebuild from."""

    files: Mapping[str, bytes]
    root: Path
    pin: Publisher
    rebuilders: tuple[Ed25519PublicKey, ...] = ()
    source: Path | None = None
    archive: Path | None = None
    log: Path | None = None


def publish(wanted: Wanted, *, now: datetime, progress: Progress) -> dict[str, Any]:
    """Publish a release or a rotation; return what was published, for a program.

    Raises:
        SpecError: a file is not what it should be.
        ReleaseError: it may not be published as it is. Nothing was.
        MeasureError: another run publishes here.
        LogError: the log cannot be written now, or its witnesses did not sign; what clients are given is as before.
        OSError: a file cannot be written; what clients are given is the old release until all of it is there.
    """
    require_folder(wanted.root)
    if wanted.log is not None:
        require_log(wanted.log)
    with sole(wanted.root):  # (1)
        published = read_published(wanted.root, wanted.pin)
        if (again := _rotated_already(wanted, published, progress)) is not None:
            return again
        signed = _complete(wanted, published)  # (2)
        if isinstance(signed.statement, Release):
            return _publish_release(signed, signed.statement, wanted, published, now=now, progress=progress)
        return _publish_rotation(signed, signed.statement, wanted, published, progress=progress)


def _complete(wanted: Wanted, published: Published) -> Signed:
    signed = open_signed(wanted.files, Holders(published.keys, wanted.rebuilders))
    if signed.missing:
        raise ReleaseError(signed.missing, "have it signed by more holders, each: vitrine release sign FILE --key KEY")
    require_loggable(signed.data, signed.what)
    return signed


def _publish_release(
    signed: Signed, release: Release, wanted: Wanted, published: Published, *, now: datetime, progress: Progress
) -> dict[str, Any]:
    history, there = published.history, existing(wanted.root, release.number)
    if there is not None:
        _refuse_another(there, signed, release)
        history = without(published, release.number)
    require_next(release, history, now=now)  # (3)
    manifest = _manifest(release, wanted)
    read = require_manifest(release, manifest)  # (4)
    bill = None if wanted.source is None else require_bill(read, wanted.source)
    kept = _archived(release, wanted)  # (5)
    write_beside(wanted.root, release.number, manifest, bill)
    logged = _log(signed.data, wanted, of_release=True, progress=progress)  # (6)
    bundle = None if logged is None else logged.bundle
    write_release(wanted.root, release.number, signed.data, manifest=manifest, bundle=bundle)  # (7)
    progress(f"{wanted.root}: published {signed.what}, signed by {', '.join(signed.signers)}")
    if kept is None:
        progress("no archive was given (--archive): auditors depend on mirrors, which drop what is old")
    else:
        progress(f"{wanted.root / ARCHIVES / str(release.number)}: {kept} files that the image can be rebuilt from")
    _tell_log(logged, progress)
    return telling.signed_as_dict(signed) | {"archive": kept, "log": None if logged is None else logged.as_dict()}


def _publish_rotation(
    signed: Signed, rotation: Rotation, wanted: Wanted, published: Published, *, progress: Progress
) -> dict[str, Any]:
    require_rotation(rotation, published.keys, published.history)
    logged = _log(signed.data, wanted, of_release=False, progress=progress)
    path = write_rotation(wanted.root, rotation.number, signed.data)
    progress(
        f"{path}: published {signed.what}; {rotation.following.threshold} of {len(rotation.following.keys)} sign now"
    )
    progress("next: create and publish a release that the new keys sign: who learns of them refuses the earlier ones")
    _tell_log(logged, progress)
    return telling.signed_as_dict(signed) | {"log": None if logged is None else logged.as_dict()}


def _rotated_already(wanted: Wanted, published: Published, progress: Progress) -> dict[str, Any] | None:
    """Go on with a rotation that is published: its keys are in force, and it may not be in the log yet."""
    (name, data), *_ = wanted.files.items()
    statement = read_statement(data, name)
    if not isinstance(statement, Rotation):
        return None
    for there in published.rotations:
        if Envelope.from_json(there).payload == Envelope.from_json(data).payload:
            logged = _log(there, wanted, of_release=False, progress=progress)
            progress(f"rotation {statement.number} of the publisher's keys is published already")
            _tell_log(logged, progress)
            return telling.rotation_as_dict(statement) | {"log": None if logged is None else logged.as_dict()}
    return None


def _archived(release: Release, wanted: Wanted) -> int | None:
    if wanted.archive is None:
        return None
    return publish_archive(wanted.archive, release.manifest_sha256, wanted.root, release.number)


def _refuse_another(there: bytes, signed: Signed, release: Release) -> None:
    """Refuse a second text, or a second envelope, under a number that is taken: a log has one entry for it."""
    if there == signed.data:
        return
    same = Envelope.from_json(there).payload == signed.payload
    got = "the same with other signatures" if same else "another text"
    remedy = "what is published stays as it is: create a release, which gets the next number"
    raise ReleaseError((Fault("number", f"a number that nothing has; {release.number} is published", got),), remedy)


def _manifest(release: Release, wanted: Wanted) -> bytes:
    """Return the manifest from the source, or an earlier release's where this one is of the same image."""
    if wanted.source is not None:
        path = wanted.source / MANIFEST
        if not path.is_file():
            raise SpecError((Fault(str(path), "the manifest of the image that the release is of", "no file"),))
        return path.read_bytes()
    for path in sorted((wanted.root / MANIFESTS).glob("*.json")):
        data = path.read_bytes()
        if digest(data) == release.manifest_sha256:
            return data
    told = "the folder of the deployment or of the image, which has the manifest (no published release has it)"
    raise SpecError((Fault("--source", told, "nothing"),))


def _log(entry: bytes, wanted: Wanted, *, of_release: bool, progress: Progress) -> Logged | None:
    return None if wanted.log is None else log_entry(wanted.log, entry, of_release=of_release, progress=progress)


def _tell_log(logged: Logged | None, progress: Progress) -> None:
    if logged is None:
        progress("no log was given (--log): clients that pin one refuse what is not in it")
    else:
        progress(f"entry {logged.index} of {logged.origin}, which has {logged.size} entries")
        if logged.bundle:
            progress(f"clients who pin the log are given {BUNDLE}, all others {RELEASE}")
