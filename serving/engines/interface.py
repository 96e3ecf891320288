"""What an engine is: one module in this folder with one function, ``run``.

The contract towards the gateway is HTTP on the socket: ``POST /v1/chat/completions`` and ``POST /v1/completions`` in
OpenAI's format, streams as server-sent events that end with ``data: [DONE]``. The gateway probes with one token, so an
engine has no health check of its own. It writes nothing anywhere, keeps nothing between two requests, and shares no
cache between them unless ``Tuning.prefix_caching`` says so. When any process of it dies, all of it ends and systemd
starts it again; the gateway says 503 until the probe succeeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

NAMES = ("llamacpp", "vllm")


@dataclass(frozen=True, slots=True)
class Tuning:
    """What vLLM alone can be told. ``cpu_cache_gib`` is the KV cache where there is no GPU; 0 means a GPU.

    ``prefix_caching`` is safe only where every request bears a salt of its sender's: a prefix that answers faster
    because somebody else sent it before tells what he sent.
    """

    dtype: str = "auto"
    quantisation: str = ""
    tensor_parallel: int = 1
    gpu_percent: int = 90
    cpu_cache_gib: int = 0
    adapters: tuple[str, ...] = ()
    prefix_caching: bool = False
    graphs: bool = True
    async_scheduling: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What an engine is told: the model's folder and public name, the socket, and how much to keep in mind."""

    model: Path
    name: str
    socket: Path
    context: int
    slots: int
    tuning: Tuning = field(default_factory=Tuning)


class Run(Protocol):
    """Load the model, listen, call ``ready`` once requests are accepted, and serve until the process ends."""

    def __call__(self, settings: Settings, ready: Callable[[], None]) -> None:
        """Serve. Raises EngineError when the model cannot be loaded, the socket cannot be had, or a part died."""
