"""The size of a disk against the size of the file that goes onto it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from provisioner.errors import Fault

GIB = 1 << 30


def size_faults(key: str, gib: int, file: Path) -> Iterator[Fault]:
    """Yield a fault where a file that is baked already is larger than its disk shall be."""
    size = file.stat().st_size if file.is_file() else 0
    if size > gib * GIB:
        yield Fault(key, f"at least {-(-size // GIB)}, the size of {file.name}", str(gib))
