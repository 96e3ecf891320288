"""Where vLLM runs in these tests: on the CPU, or on GPUs (``VITRINE_GPUS``), set up as the image sets it up."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fakes.triton_site import exchange
from tests.serving_vllm.versions import GPUS

ON_CPU = {"graphs": False, "cpu_cache_gib": 1}
# The small model shares the GPU with a second engine in some tests.
ON_GPU = {"graphs": True, "gpu_percent": 20}
ENTRY = ON_GPU if GPUS else ON_CPU


def python() -> Path:
    """Return vLLM's Python."""
    return Path(os.environ["VITRINE_VLLM"]) / "bin/python"


def packages(folder: Path) -> list[Path]:
    """Return where its packages lie; on GPUs Triton's backend is ours, as in the image."""
    (site,) = python().parents[1].glob("lib/python3.*/site-packages")
    if not GPUS:
        return [site]
    exchanged = folder / "triton"
    if not exchanged.exists():
        exchanged.mkdir()
        exchange(site, exchanged)
    return [exchanged, site]
