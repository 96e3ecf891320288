"""What a process has in its memory, read by whoever may trace it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.canary import Canary, counted, search


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


def kept(pid: int, canary: Canary) -> dict[str, int]:
    """Return how often each form of a canary is in it."""
    return counted(search(pieces(pid), canary.needles()))


def kept_after(seconds: float, pid: int, canary: Canary) -> dict[str, int]:
    """Return what is left when that time is over, or as soon as nothing is: a busy machine clears late."""
    deadline = time.monotonic() + seconds
    while True:
        over = time.monotonic() >= deadline  # seen before the search, which takes its time too
        if not (left := kept(pid, canary)) or over:
            return left
        time.sleep(0.5)
