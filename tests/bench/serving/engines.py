"""The two real engines with the real small model, started as their units do."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.serving.engines import processes

SECONDS = 900
NAME = "smollm2-135m-instruct"


@dataclass(frozen=True)
class Engine:
    """What is told to an engine, where its Python and its packages are, and what it is."""

    entry: dict
    python: str
    packages: tuple[str, ...]
    model: str
    about: str


def _vllm() -> Engine:
    venv = Path(os.environ["VITRINE_VLLM"])
    (packages,) = venv.glob("lib/python3.*/site-packages")
    entry = {"engine": "vllm", "context": 2048, "slots": 32, "dtype": "bfloat16", "graphs": False, "cpu_cache_gib": 1}
    about = "0.32.0 on the CPU, bfloat16, no compilation, SmolLM2-135M in safetensors, 32 at once"
    return Engine(entry, str(venv / "bin/python"), (str(packages),), os.environ["VITRINE_MODEL"], about)


def _llamacpp() -> Engine:
    entry = {"engine": "llamacpp", "context": 512, "slots": 8}
    packages = (os.environ["VITRINE_XLLAMACPP"],)
    about = "xllamacpp, SmolLM2-135M Q4_1, 8 at once"
    return Engine(entry, sys.executable, packages, os.environ["VITRINE_GGUF"], about)


ENGINES = {"vllm": _vllm, "llamacpp": _llamacpp}


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Run an engine; give its socket, its model's name and what it is."""
    engine = ENGINES[name]()
    with processes.notified(folder) as (channel, told):
        process = processes.start(
            folder,
            {"name": NAME, **engine.entry},
            engine.model,
            packages=engine.packages,
            environment=told,
            python=engine.python,
        )
        processes.wait_ready(channel, process, SECONDS)
    try:
        yield folder / f"{NAME}.sock", NAME, engine.about
    finally:
        process.terminate()
        process.communicate(timeout=120)
