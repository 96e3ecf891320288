"""The model disk: a folder a model, as a verified read-only file system; made once for the same models."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk.encoding import canonical_json
from provisioner.image import disk
from provisioner.image.base import Base
from provisioner.image.filesystem import Verity, make_filesystem
from provisioner.image.hub import obtain_files
from provisioner.image.packages import data_file
from provisioner.image.shelf import make_once
from provisioner.image.sources import Sources
from provisioner.image.weights import CARD, Weights
from provisioner.image.workshop import Workshop
from provisioner.progress import Progress

_RECIPE = 2
_FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class ModelDisk:
    """A finished model disk. What is on it says ``Weights.identity`` of each model."""

    path: Path
    verity: Verity


def model_card() -> dict[str, Any]:
    """Return the identity of the model that comes with this source tree."""
    card: dict[str, Any] = json.loads(data_file("model.json"))
    return card


def obtain_model(
    weights: tuple[Weights, ...], tools: Base, epoch: int, sources: Sources, *, progress: Progress
) -> ModelDisk:
    """Return the model disk, made now if it is not in the cache.

    Raises:
        BakeError: a file cannot be had, or is not the one that its hash names.
    """
    models = [model.identity() for model in weights]
    parts = {"recipe": _RECIPE, "models": models, "tools": tools.key, "epoch": epoch}
    key = hashlib.sha256(canonical_json(parts)).hexdigest()

    def make(folder: Path) -> None:
        files = {
            model.name: obtain_files(model, sources.cache, hub=sources.hub, progress=progress) for model in weights
        }
        for model in weights:
            _lay_out(folder / "contents" / model.name, files[model.name], model.identity())
        _pack(Workshop(tools.tree, folder, epoch, key), progress=progress)
        folder.chmod(0o755)

    final = make_once(sources.cache / "model" / key, _FACTS, make, what="making the model disk")
    facts = json.loads((final / _FACTS).read_bytes())
    return ModelDisk(path=final / "model.raw", verity=Verity(**facts["verity"]))


def _lay_out(folder: Path, files: Mapping[str, Path], identity: Mapping[str, Any]) -> None:
    """Put a model's files into its folder, with fixed permissions, beside a card that says what they are."""
    for path, source in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (folder / CARD).write_bytes(canonical_json({"version": 2, **identity}) + b"\n")
    for made in (folder.parent, folder, *folder.rglob("*")):
        made.chmod(0o755 if made.is_dir() else 0o644)


def _pack(workshop: Workshop, *, progress: Progress) -> None:
    folder = workshop.folder
    contents = folder / "contents"
    size = sum(path.stat().st_size for path in contents.rglob("*") if path.is_file())
    names = ", ".join(sorted(path.name for path in contents.iterdir()))
    progress(f"making the model disk: {names}, {size / 1e6:.0f} MB")
    verity = make_filesystem(workshop, contents, "model", compressed=False)
    partitions = [
        _partition(workshop, "vitrine-model", "erofs"),
        _partition(workshop, "vitrine-model-verity", "verity"),
    ]
    disk.write_disk(folder / "model.raw", workshop.uuid_for("model-disk"), partitions)
    (folder / "model.raw").chmod(0o644)
    (folder / _FACTS).write_text(json.dumps({"verity": verity.as_json()}))
    for name in ("contents", "tree"):
        shutil.rmtree(folder / name)
    for name in ("model.erofs", "model.verity", "model.roothash"):
        (folder / name).unlink()


def _partition(workshop: Workshop, name: str, kind: str) -> disk.Partition:
    contents = workshop.folder / f"model.{kind}"
    return disk.Partition(name, disk.DATA_TYPE, workshop.uuid_for(f"{name}-partition"), contents)
