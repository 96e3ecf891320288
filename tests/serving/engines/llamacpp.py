"""The real llama.cpp with the real small model, started as its unit does."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

from tests.serving.engines import processes
from tests.serving.gateway.running import MODEL

ENTRY = {"name": MODEL, "engine": "llamacpp", "context": 512, "slots": 1}
SECONDS = 120


def start(folder, *, model=None, environment=None, requests=64, **options):
    """Start it; engine and weights lie where the environment says."""
    packages = [os.environ["VITRINE_ENGINE"], "/usr/lib/python3/dist-packages"]
    weights = model or Path(os.environ["VITRINE_MODEL"])
    entry = ENTRY | options
    return processes.start(folder, entry, weights, packages=packages, environment=environment, requests=requests)


def started(folder, **options):
    """Start it and wait until it has answered; return its process and its socket."""
    with processes.notified(folder) as (channel, told):
        process = start(folder, environment=told, **options)
        processes.wait_ready(channel, process, SECONDS)
    return process, processes.socket_of(folder, MODEL)


@contextmanager
def serving(folder, **options):
    """Give process and socket of a ready engine; in the end it may have printed nothing."""
    process, socket = started(folder, **options)
    try:
        yield process, socket
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert output == b"", "the engine printed something"
