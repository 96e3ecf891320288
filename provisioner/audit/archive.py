"""The archive that a release publishes beside itself: whatever a rebuild needs, so that no mirror has to have it still.

::

    archive.json        what is here, for people and mirrors; an audit goes by the locks
    image/              uki.efi, boot.raw, manifest.json, sbom.json: what was published, to compare with
    recipe.json         what the image was asked to be
    debs/ wheels/ …     files by their SHA-256
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client_sdk.errors import EvidenceError
from client_sdk.manifest import MAX_SIZE, Manifest, digest
from provisioner.audit.needed import Needed
from provisioner.errors import BakeError
from provisioner.image.artefacts import MANIFEST
from provisioner.image.files import read_limited, sha256_of
from provisioner.image.recipe import RECIPE, Recipe, parse_recipe

IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive's own description of the image; nothing in it is trusted before a release names its manifest."""

    folder: Path
    manifest: Manifest
    manifest_sha256: bytes
    recipe: Recipe

    @property
    def image(self) -> Path:
        """The folder with what was published."""
        return self.folder / IMAGE


@dataclass(frozen=True, slots=True)
class Holdings:
    """What of the needed files is not in an archive, and what is there and is another file."""

    missing: tuple[Needed, ...]
    wrong: tuple[tuple[Needed, str], ...]


def manifest_digest(folder: Path) -> bytes:
    """Return the digest of an archive's manifest, whatever that says: a release names it, or it is none of ours.

    Raises:
        BakeError: there is none, or the archive holds what is no file.
    """
    path = folder / IMAGE / MANIFEST
    try:
        _require_files(folder)
        return digest(read_limited(path, MAX_SIZE))
    except OSError as error:
        raise BakeError(f"{folder} is no archive of a release: {path}: {error.strerror}") from error


def open_archive(folder: Path) -> Archive:
    """Read an archive's manifest and recipe.

    Raises:
        BakeError: they are missing or malformed.
    """
    try:
        manifest = read_limited(folder / IMAGE / MANIFEST, MAX_SIZE)
        recipe = read_limited(folder / RECIPE, MAX_SIZE)
    except OSError as error:
        raise BakeError(f"{folder} is no archive of a release: {error.filename}: {error.strerror}") from error
    try:
        return Archive(folder, Manifest.from_json(manifest), digest(manifest), parse_recipe(recipe))
    except EvidenceError as error:
        raise BakeError(f"{folder}/{IMAGE}/{MANIFEST}: {error}") from error


def look(archive: Path, needed: tuple[Needed, ...]) -> Holdings:
    """Hash every needed file of an archive."""
    missing = tuple(one for one in needed if not (archive / one.path).is_file())
    found = ((one, sha256_of(archive / one.path)) for one in needed if one not in missing)
    return Holdings(missing, tuple((one, got) for one, got in found if got != one.sha256))


def _require_files(folder: Path) -> None:
    """Refuse pipes, devices and links to them, before anything is opened: whoever reads them may wait without end."""
    for path in folder.rglob("*"):
        if not (path.is_file() or path.is_dir()):
            raise BakeError(f"{path} is no file, and an archive holds nothing else; get the archive from elsewhere")
