"""What a process has in its memory, read by whoever may trace it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def pieces(pid: int) -> Iterator[bytes]:
    """Yield it, one mapping after the other; what nobody can read, such as a page behind a file's end, is left out."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, rights, *_ = line.split()
            if rights.startswith("r") and "[v" not in line:
                start, end = (int(number, 16) for number in area.split("-"))
                with suppress(OSError):
                    memory.seek(start)
                    yield memory.read(end - start)
