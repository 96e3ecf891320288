"""vLLM itself, with the real small model, as processes behind the real gateway: run by ``make test-serving``.

Tests and gateway run on the image's versions, vLLM in a virtual environment of its own. Elsewhere nothing of this
folder is collected; here a missing engine fails.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from tests.serving.engines import processes
from tests.serving_vllm.hardware import ENTRY, GPUS, packages, python

collect_ignore_glob = [] if os.environ.get("VITRINE_VLLM") else ["*"]

NAME = "smollm2-135m-instruct"
ADAPTER = "louder"
# Starting takes half a minute on two free cores, and several where they are shared.
SECONDS = 900
PLAIN = {"name": NAME, "engine": "vllm", "context": 2048, "slots": 8, **ENTRY}
PLAIN |= {"dtype": "bfloat16" if GPUS else "float32"}


@dataclass
class Engine:
    """A running vLLM: its first process, its socket, the folder for its temporary files."""

    process: Popen
    socket: Path
    temporary: Path

    @property
    def models(self):
        return {NAME: self.socket}


def begin(folder, module="serving.engines", **options):
    """Start vLLM as the unit does and wait until it has answered."""
    model, how = Path(os.environ["VITRINE_MODEL"]), {"packages": packages(folder), "python": str(python())}
    with processes.notified(folder) as (channel, told):
        process = processes.start(folder, PLAIN | options, model, environment=told, module=module, **how)
        processes.wait_ready(channel, process, SECONDS)
    return Engine(process, processes.socket_of(folder, NAME), folder / "tmp")


def end(engine):
    """Stop it if it runs; nobody of the family may stay, and nothing may have been printed."""
    members = processes.family(engine.process.pid)
    engine.process.terminate()
    output, _ = engine.process.communicate(timeout=120)
    assert processes.gone(members, 60)
    assert output == b"", "the engine printed something"


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """As it is served by default: nothing is shared between requests. With an adapter."""
    running = begin(tmp_path_factory.mktemp("plain"), adapters=[ADAPTER])
    yield running
    end(running)
