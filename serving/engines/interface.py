"""What an engine is: one module in this folder with two functions, ``run`` and ``alive``.

The contract towards the gateway is HTTP on the socket: ``POST /v1/chat/completions`` and ``POST /v1/completions`` in
OpenAI's format, streams as server-sent events that end with ``data: [DONE]``, or ``POST /v1/embeddings`` where the
model is for that; ``/tokenize`` and ``/detokenize`` in words of its own, which the gateway knows. Nobody reads a health
page: the gateway asks the question of ``serving.task``, and an engine may ask it first. It writes nothing anywhere,
keeps of a request no more than docs/hardening/memory.md says, and shares no cache between two of them unless
``Tuning.prefix_caching`` says so. When any process of it dies, all of it ends and systemd starts it again; the gateway
says 503 until its question is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from serving.task import GENERATE

NAMES = ("llamacpp", "vllm")
POOLINGS = ("", "cls", "last", "mean")
"""Which token's state is the embedding of a text, or the mean of all; empty: as the model says."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What vLLM alone can be told.

    ``media`` is how many images and how many pieces of audio one prompt may have. ``cpu_cache_gib`` is the KV cache
    where there is no GPU, as in tests: no image can say it, and 0 means a GPU.
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
    media: int = 0
    tool_parser: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an engine is told: the model's folder and public name, the socket, how much to keep in mind, and what for.

    ``slots`` are worked on at once; ``requests`` is how many the gateway lets through to all engines together.
    """

    model: Path
    name: str
    socket: Path
    context: int
    slots: int
    requests: int
    task: str = GENERATE
    pooling: str = ""
    tuning: Tuning = field(default_factory=Tuning)


class Run(Protocol):
    """Load the model, listen, call ``ready`` once requests are accepted, and serve until the process ends."""

    def __call__(self, settings: Settings, ready: Callable[[], None]) -> None:
        """Serve. Raises EngineError when the model cannot be loaded, the socket cannot be had, or a part died."""


class Alive(Protocol):
    """Say whether the engine that was told this still computes, be it for others; wait for the answer for minutes."""

    def __call__(self, settings: Settings) -> bool:
        """Ask it."""
