"""The engines behind the doors: the two real ones with the real small model, and one that costs next to nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from tests.bench.serving.doors import Upstream, command_line
from tests.serving.engines import processes
from tests.serving_vllm import hardware, versions
from tests.sockets import until_listens

SECONDS = 900
NAME = "smollm2-135m-instruct"


@dataclass(frozen=True)
class Engine:
    """What is told to an engine, where its Python, its packages and its model are, and what its package is called."""

    entry: dict
    python: str
    packages: list
    model: str
    package: str
    about: str


def _vllm(folder: Path) -> Engine:
    entry = {"engine": "vllm", "context": 2048, "slots": 32, "dtype": "bfloat16", **hardware.ENTRY}
    about = "bfloat16, no compilation, SmolLM2-135M in safetensors"
    site, model = hardware.packages(folder), os.environ["VITRINE_MODEL"]
    return Engine(entry, str(hardware.python()), site, model, versions.PACKAGE, about)


def _llamacpp(_: Path) -> Engine:
    entry = {"engine": "llamacpp", "context": 512, "slots": 8}
    site = [Path(os.environ["VITRINE_XLLAMACPP"])]
    return Engine(entry, sys.executable, site, os.environ["VITRINE_GGUF"], "xllamacpp", "SmolLM2-135M Q4_1")


ENGINES = {"vllm": _vllm, "llamacpp": _llamacpp}


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[Upstream]:
    """Start a real engine as its unit does; print its version, what it was told, and its processes' command lines."""
    engine = ENGINES[name](folder)
    entry = {"name": NAME, **engine.entry}
    with processes.notified(folder) as (channel, told):
        process = processes.start(
            folder, entry, engine.model, packages=engine.packages, environment=told, python=engine.python
        )
        processes.wait_ready(channel, process, SECONDS)
    try:
        (found,) = distributions(name=engine.package, path=[str(engine.packages[-1])])
        print(f"\n{name}: {engine.package} {found.version}, {engine.about}\n  {entry}")
        for pid in processes.family(process.pid):
            print(f"  {command_line(pid)}")
        yield Upstream(name, processes.socket_of(folder, NAME), NAME)
    finally:
        process.terminate()
        process.communicate(timeout=120)


@contextlib.contextmanager
def cheap(folder: Path) -> Iterator[Upstream]:
    """Start ``upstream.py``, which the gateway takes for vLLM."""
    socket = folder / "engine.sock"
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.serving.upstream", str(socket)])
    try:
        until_listens(process, socket)
        yield Upstream("vllm", socket, "m")
    finally:
        process.terminate()
        process.wait(30)
