"""Gathering the archive of a baked image: what a rebuild needs, from the cache of the bake, each file by its hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from client_sdk.errors import EvidenceError
from client_sdk.manifest import Manifest, digest
from provisioner.audit.archive import IMAGE, Archive, open_archive
from provisioner.audit.index import INDEX, write_index
from provisioner.audit.needed import DATA, Materials, Needed, materials
from provisioner.errors import BakeError, Fault, SpecError
from provisioner.image.artefacts import FILES, MANIFEST
from provisioner.image.files import require_sha256, sha256_of, share
from provisioner.image.recipe import RECIPE, Recipe, parse_recipe
from provisioner.image.sbom import SBOM
from provisioner.image.shelf import make_once
from provisioner.progress import Progress

# The model disk is as large as the models; whoever has their files has it.
_PUBLISHED = (FILES["uki"], FILES["boot_disk"], MANIFEST, SBOM)


def gather(
    image: Path, source: Path, cache: Path, output: Path, *, weights: Mapping[str, Path], progress: Progress
) -> Archive:
    """Make the archive of a baked image from the cache of its bake; nothing half-made is left.

    ``weights`` are the folders of models that were baked from a folder, by name.

    Raises:
        SpecError: a folder is not what it is named for.
        BakeError: the image was baked from another checkout, or a file is not in the cache any more.
    """
    _require_places(image, source, weights, output)
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
        write_index(folder, sha256_of(image / MANIFEST), {one.path: one.what for one in told.files})
        folder.chmod(0o755)

    made = open_archive(make_once(output.resolve(), INDEX, make, what="gathering the archive"))
    if made.manifest_sha256 != digest((image / MANIFEST).read_bytes()):
        raise BakeError(f"{output} holds the archive of another image; name another folder")
    return made


def _require_places(image: Path, source: Path, weights: Mapping[str, Path], output: Path) -> None:
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
    is_empty = output.is_dir() and not any(output.iterdir())
    if output.exists() and not (is_empty or (output / INDEX).is_file()):
        expected = "a folder that is not there yet, or an archive's: whatever else is in one would be lost"
        faults.append(Fault("--output", expected, f"{output}, which is something else"))
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
    if told.differing:
        shown = "; ".join(told.differing[:3])
        raise BakeError(f"the image was not baked from the lock of {source}: {shown}; name its checkout (--source)")
    return told


def _found(one: Needed, cache: Path, weights: Mapping[str, Path]) -> Path:
    if (cache / one.path).is_file():
        return cache / one.path
    if one.model in weights:
        return weights[one.model] / one.inner
    again = "bake the image once more (`make bake`)"
    how = f"name the folder of the model: --weights {one.model}=FOLDER" if one.model else again
    raise BakeError(f"{one.what} is not in {cache} any more; {how}")


def _share(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not target.exists():
        share(source.resolve(), target)
