"""Reading what ``show`` and ``diff`` are about: a release with its manifest, wherever they lie.

A manifest is one that the release names by digest, or it is not taken. Signatures are looked at where the caller says
whose they should be, and otherwise what is told says that nothing was verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from client_sdk.changes import alarms, as_dicts, contents, lines, statements
from client_sdk.errors import EvidenceError
from client_sdk.manifest import MAX_SIZE, Manifest, digest
from client_sdk.release import Release
from client_sdk.rotation import Rotation
from client_sdk.transparency.formats.bundle import unpack
from provisioner.errors import Fault, SpecError
from provisioner.publish import MANIFEST, MANIFESTS, RELEASE
from provisioner.releases import telling
from provisioner.releases.files import read_file
from provisioner.releases.signing import Holders, Signed, open_signed, read_statement
from provisioner.releases.telling import Answer

UNVERIFIED = "not verified: give --publisher to see whose signatures it has"
_SHOWN = "a release or a rotation, signed or not yet, or the folder with one"


@dataclass(frozen=True, slots=True)
class Subject:
    """A release, or only an image's manifest. ``signed`` is there where the signatures were looked at."""

    where: Path
    release: Release | None
    manifest: Manifest | None
    signed: Signed | None = None


def explain(path: Path, manifest: Path | None, holders: Holders | None) -> Answer:
    """Tell what a release or a rotation says, for programs and for people.

    Raises:
        SpecError: it is neither, or the manifest is another one's.
        ReleaseError: a signature is of none of the keys that were named.
    """
    file = path / RELEASE if path.is_dir() else path
    envelope = _envelope(file)
    statement = read_statement(envelope, str(file))
    signed = None if holders is None else open_signed({str(file): envelope}, holders)
    if isinstance(statement, Rotation):
        told, lines = telling.rotation_as_dict(statement), [*telling.rotation_lines(statement)]
    else:
        told, lines = telling.release_as_dict(statement), [*telling.release_lines(statement)]
        found = _manifest_of(statement, _beside(file)) if manifest is None else _given(statement, manifest)
        if found is not None:
            lines += telling.manifest_lines(found)
    if signed is None:
        return told | {"verified": False}, [*lines, UNVERIFIED]
    return told | telling.signed_as_dict(signed), [*lines, *telling.signature_lines(signed)]


def read_difference(old: Path, new: Path, manifests: tuple[Path, ...], holders: Holders | None) -> Answer:
    """Tell what changed from one release, or image, to another.

    Raises:
        SpecError: one of them cannot be read, or has no manifest.
        ReleaseError: a signature is of none of the keys that were named, or too few are there.
    """
    before, after = (_subject(path, manifests, holders) for path in (old, new))
    if before.manifest is None or after.manifest is None:
        raise SpecError((Fault("--manifest", "the manifests of both", "none for one of them"),))
    sections = contents(before.manifest, after.manifest)
    if before.release is not None and after.release is not None:
        sections += statements(before.release, after.release)
    said = [f"from {_name(before)} to {_name(after)}", *lines(sections)]
    if holders is None:
        said += ["", UNVERIFIED]
    told = {"alarms": [*alarms(sections)], "sections": as_dicts(sections), "old": _name(before), "new": _name(after)}
    return told | {"verified": holders is not None}, said


def _subject(path: Path, manifests: tuple[Path, ...], holders: Holders | None) -> Subject:
    if path.is_dir() and not (path / RELEASE).is_file():
        return _image(path, holders)
    file = path / RELEASE if path.is_dir() else path
    envelope = _envelope(file)
    statement = read_statement(envelope, str(file))
    if not isinstance(statement, Release):
        raise SpecError((Fault(str(file), "a release: a rotation changes keys, not an image", "a rotation"),))
    signed = None if holders is None else open_signed({str(file): envelope}, holders)
    found = _manifest_of(statement, (*manifests, *_beside(file)))
    if found is None:
        raise _unfound(statement, "none, neither given nor beside the release")
    return Subject(file, statement, found, signed)


def _image(path: Path, holders: Holders | None) -> Subject:
    if holders is not None:
        raise SpecError((Fault(str(path), "a release: nobody signed an image", "an image's folder"),))
    if not (path / MANIFEST).is_file():
        told = "a release, or the folder of a deployment, of published releases, or of an image"
        raise SpecError((Fault(str(path), told, "a folder with neither release.json nor manifest.json"),))
    return Subject(path, None, _decode(path / MANIFEST, (path / MANIFEST).read_bytes()))


def _given(release: Release, path: Path) -> Manifest:
    """Return the one manifest that was named, which has to be the release's."""
    found = _manifest_of(release, (path,))
    if found is None:
        raise _unfound(release, f"{path}, which is another one's")
    return found


def _unfound(release: Release, got: str) -> SpecError:
    told = f"the manifest of release {release.number}, whose SHA-256 is {release.manifest_sha256.hex()}"
    return SpecError((Fault("--manifest", told, got),))


def _manifest_of(release: Release, paths: Iterable[Path]) -> Manifest | None:
    """Return the first that is the release's own."""
    for path in paths:
        data = read_file(path, "the manifest of a release", limit=MAX_SIZE)
        if digest(data) == release.manifest_sha256:
            return _decode(path, data)
    return None


def _beside(file: Path) -> Iterator[Path]:
    if (file.parent / MANIFEST).is_file():
        yield file.parent / MANIFEST
    for folder in (file.parent / MANIFESTS, file.parent.parent / MANIFESTS):
        yield from sorted(folder.glob("*.json"))


def _decode(path: Path, data: bytes) -> Manifest:
    try:
        return Manifest.from_json(data)
    except EvidenceError as error:
        raise SpecError((Fault(str(path), "a manifest of this version", str(error)),)) from error


def _envelope(path: Path) -> bytes:
    """Return the signed release in a file; of a log's bundle it is what the proof is about."""
    try:
        return unpack(read_file(path, _SHOWN))[0]
    except EvidenceError as error:
        raise SpecError((Fault(str(path), _SHOWN, str(error)),)) from error


def _name(subject: Subject) -> str:
    if subject.release is None:
        return f"the image in {subject.where}"
    return f"release {subject.release.number} of {subject.release.service}"
