"""Putting a signed release, or a rotation, into the publisher's log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Logged:
    """Where an entry is in a log, and how many entries that has."""

    origin: str
    index: int
    size: int

    def as_dict(self) -> dict[str, Any]:
        """Return it for a program."""
        return {"origin": self.origin, "index": self.index, "size": self.size}


def log_entry(home: Path, entry: bytes, rotations: tuple[bytes, ...], root: Path, number: int | None) -> Logged:
    """Append an entry."""
    raise NotImplementedError(home, entry, rotations, root, number)
