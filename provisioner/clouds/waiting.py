"""Looking at something again and again, for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator


def looks(seconds: float, *, pause: float) -> Iterator[float]:
    """Yield how many seconds have passed: now, and after each pause, until the time is over. There is always a look."""
    start = time.monotonic()
    while True:
        yield (passed := time.monotonic() - start)
        if passed > seconds:
            return
        time.sleep(pause)
