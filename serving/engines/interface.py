"""What an engine is: one module in this folder with one function, ``run``.

The contract towards the gateway is HTTP on the socket: ``POST /v1/chat/completions`` and ``POST /v1/completions`` in
OpenAI's format, streams as server-sent events that end with ``data: [DONE]``. The gateway probes with one token, so an
engine has no health check of its own. It writes nothing anywhere, keeps nothing between two requests, and shares no
cache between them. When it dies, systemd starts it again; the gateway says 503 until the probe succeeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

NAMES = ("llamacpp",)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an engine is told: the model's folder and public name, the socket, and how much to keep in mind."""

    model: Path
    name: str
    socket: Path
    context: int
    slots: int


class Run(Protocol):
    """Load the model, listen, call ``ready`` once requests are accepted, and serve until the process ends."""

    def __call__(self, settings: Settings, ready: Callable[[], None]) -> None:
        """Serve. Raises EngineError when the model cannot be loaded or the socket cannot be had."""
