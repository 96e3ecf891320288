"""The archive that a release publishes beside itself: whatever a rebuild needs, so that no mirror has to have it still.

::

    archive.json        what is here, for people and mirrors; an audit goes by the locks
    image/              uki.efi, boot.raw, manifest.json, sbom.json: what was published, to compare with
    recipe.json         what the image was asked to be
    debs/ wheels/ …     files by their SHA-256
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client_sdk.errors import EvidenceError
from client_sdk.manifest import MAX_SIZE, Manifest, digest
from provisioner.audit.needed import DATA, Materials, Needed, differing, fits, materials
from provisioner.errors import BakeError, Fault, SpecError
from provisioner.image.artefacts import FILES, MANIFEST
from provisioner.image.files import require_sha256, sha256_of, share
from provisioner.image.recipe import RECIPE, Recipe, parse_recipe
from provisioner.image.sbom import SBOM
from provisioner.image.shelf import make_once
from provisioner.progress import Progress

INDEX = "archive.json"
IMAGE = "image"
VERSION = 1
# The model disk is as large as the models; whoever has their files has it.
_PUBLISHED = (FILES["uki"], FILES["boot_disk"], MANIFEST, SBOM)


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
        BakeError: there is none.
    """
    path = folder / IMAGE / MANIFEST
    try:
        return digest(_limited(path))
    except OSError as error:
        raise BakeError(f"{folder} is no archive of a release: {path}: {error.strerror}") from error


def open_archive(folder: Path) -> Archive:
    """Read an archive's manifest and recipe.

    Raises:
        BakeError: they are missing or malformed.
    """
    try:
        manifest = _limited(folder / IMAGE / MANIFEST)
        recipe = _limited(folder / RECIPE)
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


def gather(
    image: Path, source: Path, cache: Path, output: Path, *, weights: Mapping[str, Path], progress: Progress
) -> Archive:
    """Make the archive of a baked image from the cache of its bake; nothing half-made is left.

    ``weights`` are the folders of models that were baked from a folder, by name.

    Raises:
        SpecError: a folder is not what it is named for.
        BakeError: the image was baked from another checkout, or a file is not in the cache any more.
    """
    _require_places(image, source, weights)
    recipe, manifest = _described(image)
    told = _materials(source, cache, recipe, manifest)

    def make(folder: Path) -> None:
        progress(f"gathering {len(told.files)} files, each checked by its hash")
        _share(image / RECIPE, folder / RECIPE)
        for name in _PUBLISHED:
            _share(image / name, folder / IMAGE / name)
        if told.followed:
            _share(cache / "debs" / told.followed, folder / "debs" / told.followed)
        for one in told.files:
            _share(_found(one, cache, weights), folder / one.path)
            require_sha256(folder / one.path, one.sha256, one.what)
        (folder / INDEX).write_text(json.dumps(_index(folder, told.files, image), indent=1, sort_keys=True) + "\n")
        folder.chmod(0o755)

    made = open_archive(make_once(output.resolve(), INDEX, make, what="gathering the archive"))
    if made.manifest_sha256 != digest((image / MANIFEST).read_bytes()):
        raise BakeError(f"{output} holds the archive of another image; name another folder")
    return made


def _require_places(image: Path, source: Path, weights: Mapping[str, Path]) -> None:
    """Refuse folders that cannot be meant; all of them at once."""
    faults = [
        Fault(f"--weights {name}", "the folder with the files of the model", f"{folder}, which is none")
        for name, folder in weights.items()
        if not folder.is_dir()
    ]
    if not (image / FILES["uki"]).is_file():
        expected = "the folder of a baked image, such as build/local/image"
        faults.append(Fault("IMAGE", expected, f"{image}, without {FILES['uki']}"))
    if not (source / DATA).is_dir():
        expected = "the checkout that the image was baked from (by default the folder that you are in)"
        faults.append(Fault("--source", expected, f"{source}, without {DATA}"))
    if faults:
        raise SpecError(tuple(faults))


def _described(image: Path) -> tuple[Recipe, Manifest]:
    try:
        return parse_recipe((image / RECIPE).read_bytes()), Manifest.from_json((image / MANIFEST).read_bytes())
    except OSError as error:
        why = f"cannot read {error.filename}: {error.strerror}"
        raise BakeError(f"{image} is no image with a recipe: {why}; bake it anew (`make bake`)") from error
    except EvidenceError as error:
        raise BakeError(f"{image} is no image with a recipe; bake it anew (`make bake`): {error}") from error


def _materials(source: Path, cache: Path, recipe: Recipe, manifest: Manifest) -> Materials:
    told = materials(source, recipe, manifest, cache)
    if not fits(told.lock, manifest):
        shown = "; ".join(differing(told.lock, manifest)[:3])
        raise BakeError(f"the image was not baked from the lock of {source}: {shown}; name its checkout (--source)")
    return told


def _found(one: Needed, cache: Path, weights: Mapping[str, Path]) -> Path:
    if (cache / one.path).is_file():
        return cache / one.path
    name, _, inner = one.what.partition(": ")
    if one.path.startswith("weights/") and name in weights:
        return weights[name] / inner
    hint = f"; name the folder of the model: --weights {name}=FOLDER" if one.path.startswith("weights/") else ""
    raise BakeError(f"{one.what} is not in {cache} any more{hint or '; bake the image once more (`make bake`)'}")


def _share(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not target.exists():
        share(source.resolve(), target)


def _index(folder: Path, needed: tuple[Needed, ...], image: Path) -> dict[str, object]:
    described = {one.path: one.what for one in needed}
    files = {
        path: {"sha256": sha256_of(folder / path), "size": (folder / path).stat().st_size} for path in _paths(folder)
    }
    return {
        "version": VERSION,
        "manifest_sha256": sha256_of(image / MANIFEST),
        "files": {
            path: told | ({"what": described[path]} if path in described else {}) for path, told in files.items()
        },
    }


def _paths(folder: Path) -> Iterator[str]:
    yield from sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise BakeError(f"{path}: more than {MAX_SIZE} bytes; gather the archive again")
    return data
