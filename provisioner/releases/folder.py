"""The folder that a publisher publishes: what clients take, what auditors need, and every release that there ever was.

::

    release.json, manifest.json       the newest: what clients are given
    bundle.json                       the same release with the proof that the publisher's log has it
    releases/N.json, manifests/N.json every release, and what is inside its image
    sboms/N.json                      the bill of materials that manifest N names
    bundles/N.json                    each with its proof, as it was when it was published
    rotations/N.json                  how the publisher's keys changed
    archives/N/                       what auditors rebuild the image from (``archive.py``)

Whoever can write to it can take files away, and add none: each is signed, or named by digest in what is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from client_sdk.errors import AttestationError
from client_sdk.manifest import Manifest
from client_sdk.publisher import Publisher
from client_sdk.release import Release, open_release, read_release
from client_sdk.rotation import KeySet, Rotation, read_rotation, verify_rotations
from provisioner.atomic import replace_file
from provisioner.errors import Fault, ReleaseError, SpecError
from provisioner.image.files import sha256_of
from provisioner.image.sbom import SBOM
from provisioner.publish import MANIFEST, MANIFESTS, RELEASE, RELEASES
from provisioner.releases.checks import History

ROTATIONS, SBOMS, BUNDLES, BUNDLE = "rotations", "sboms", "bundles", "bundle.json"
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Published:
    """What a folder has, verified from the caller's pin on; ``publisher`` has the keys that are in force now."""

    root: Path
    history: History
    publisher: Publisher
    rotations: tuple[bytes, ...]

    @property
    def keys(self) -> KeySet:
        """The keys that are in force now."""
        return KeySet.of(self.publisher)


def read_published(root: Path, pin: Publisher) -> Published:
    """Read a publisher's folder; one that is not there is one where nothing was published yet.

    Raises:
        SpecError: it is no folder; or a file of it is malformed, in the place of another, or not signed by keys that
            the pin leads to.
    """
    require_folder(root)
    files = tuple(_numbered(root / ROTATIONS, read_rotation))
    chain = tuple(data for _, data, _ in files)
    try:
        publisher = verify_rotations(chain, pin)
        sets = _sets(chain, pin)
    except AttestationError as error:
        wanted = "rotations that lead on from the keys in --publisher"
        raise SpecError((Fault(str(root / ROTATIONS), wanted, str(error)),)) from error
    releases = tuple(_releases(root, sets, later=len(sets) <= len(chain)))
    history = History(releases, tuple(rotation for _, _, rotation in files))
    return Published(root, history, publisher, chain)


def require_folder(root: Path) -> None:
    """Refuse what is no folder.

    Raises:
        SpecError: it is something else.
    """
    if root.exists() and not root.is_dir():
        expected = "the folder that the publisher publishes, or one that is not there yet"
        raise SpecError((Fault("--published", expected, f"{root}, a file"),))


def existing(root: Path, number: int) -> bytes | None:
    """Return the published release of a number, where there is one."""
    path = root / RELEASES / f"{number}.json"
    return path.read_bytes() if path.is_file() else None


def without(published: Published, number: int) -> History:
    """Return the history as it was before a release: publishing goes on where it was interrupted."""
    kept = tuple(release for release in published.history.releases if release.number != number)
    return History(kept, published.history.rotations)


def require_bill(manifest: Manifest, source: Path) -> bytes | None:
    """Return the bill of materials beside a manifest, where the image has one.

    Raises:
        ReleaseError: it is not the one that the manifest names.
    """
    named = dict(manifest.files).get(SBOM)
    path = next((path for path in (source / SBOM, source / "image" / SBOM) if path.is_file()), None)
    if named is None or path is None:
        return None
    if sha256_of(path) != named.hex():
        fault = Fault(str(path), f"the SHA-256 {named.hex()}, which the manifest names", sha256_of(path))
        raise ReleaseError((fault,), "it was changed since the image was baked: bake again, or give the right folder")
    return path.read_bytes()


def write_beside(root: Path, number: int, manifest: bytes, bill: bytes | None) -> None:
    """Write what a release names, under its number, before the release itself."""
    for folder, data in ((MANIFESTS, manifest), (SBOMS, bill)):
        if data is not None:
            (root / folder).mkdir(parents=True, exist_ok=True)
            replace_file(root / folder / f"{number}.json", data)


def write_release(root: Path, number: int, data: bytes, *, manifest: bytes, bundle: bytes | None) -> None:
    """Write the release under its number, then as the newest; last is what clients go by."""
    numbered = ((RELEASES, data), (BUNDLES, bundle))
    newest = ((MANIFEST, manifest), (BUNDLE, bundle), (RELEASE, data))
    for folder, content in numbered:
        if content is not None:
            (root / folder).mkdir(parents=True, exist_ok=True)
            replace_file(root / folder / f"{number}.json", content)
    for name, content in newest:
        if content is not None:
            replace_file(root / name, content)


def write_rotation(root: Path, number: int, data: bytes) -> Path:
    """Write a rotation under its number."""
    path = root / ROTATIONS / f"{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
    return path


def _sets(chain: tuple[bytes, ...], pin: Publisher) -> tuple[Publisher, ...]:
    """Return the pin and what follows it, one after the other."""
    found = [pin]
    for data in chain:
        rotation = read_rotation(data)
        if rotation.previous == KeySet.of(found[-1]).digest:
            found.append(Publisher(keys=rotation.following.keys, threshold=rotation.following.threshold))
    return tuple(found)


def _releases(root: Path, sets: tuple[Publisher, ...], *, later: bool) -> Iterator[Release]:
    """Yield the releases that are signed by keys that the pin leads to; the newest is one of them.

    ``later`` says that there were keys before those of the pin: of what they signed nothing can be known, and what is
    there of them is left out, for anybody can have written it.
    """
    why, path, verified = "", root / RELEASES, False
    for path, data, release in _numbered(root / RELEASES, read_release):
        why = _refusal(data, sets)
        if not why:
            verified = True
            yield release
        elif verified or not later:
            raise _unsigned(path, why)
    if why:
        raise _unsigned(path, why)


def _unsigned(path: Path, why: str) -> SpecError:
    wanted = (
        "a release signed by the keys in --publisher (those that signed it, or earlier ones), or by their followers"
    )
    return SpecError((Fault(str(path), wanted, why),))


def _refusal(data: bytes, sets: tuple[Publisher, ...]) -> str:
    why = ""
    for publisher in reversed(sets):
        try:
            open_release(data, publisher)
        except AttestationError as error:
            why = why or str(error)
        else:
            return ""
    return why


def _numbered(folder: Path, read: Callable[[bytes], _Read]) -> Iterator[tuple[Path, bytes, _Read]]:
    """Yield the files that are named for a number, in order; each must be of that number."""
    paths = {int(path.stem): path for path in folder.glob("*.json") if path.stem.isascii() and path.stem.isdigit()}
    for number in sorted(paths):
        data = paths[number].read_bytes()
        try:
            found = read(data)
        except AttestationError as error:
            raise SpecError((Fault(str(paths[number]), "what was published under this number", str(error)),)) from error
        if isinstance(found, (Release, Rotation)) and found.number != number:
            raise SpecError((Fault(str(paths[number]), f"number {number}, as it is called", f"number {found.number}"),))
        yield paths[number], data, found
