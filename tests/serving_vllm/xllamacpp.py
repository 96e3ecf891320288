"""``python -m tests.serving_vllm.xllamacpp``: print the folder in which the image's own llama.cpp lies unpacked."""

from __future__ import annotations

import sys
from pathlib import Path

from provisioner.image.tools import unpacked_engine
from provisioner.progress import say

CACHE = Path(__file__).resolve().parents[2] / "build/cache"

if __name__ == "__main__":
    sys.stdout.write(f"{unpacked_engine(CACHE, progress=say)}\n")
