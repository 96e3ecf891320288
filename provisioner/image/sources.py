"""What the inventory says about where a bake's inputs come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Mode = Literal["release", "test", "debug"]
HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where inputs come from: in mode "release" the lock or nothing, else a mirror that moved on may be followed.

    ``mirror=None`` means the host's own apt configuration. ``hub`` is where models are downloaded from.
    """

    cache: Path
    mode: Mode = "test"
    mirror: str | None = None
    security_mirror: str | None = None
    hub: str = HUB
