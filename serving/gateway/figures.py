"""What operators may know: how much was done in the last minute, in powers of two. docs/metrics.md says why no more.

Counts of one interval are shown throughout the next one, and then replaced: nothing accumulates, and whoever asks often
learns no more than whoever asks once a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_HELP = {
    "requests": "Requests that reached the engine",
    "tokens": "Tokens that the engine wrote",
    "running": "Most requests at one time",
}
_FEWEST = 8


class Figures:
    """Counts of the interval that runs, and those of the last one, as they are shown."""

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._clock = interval, clock
        self._counts = dict.fromkeys(_HELP, 0)
        self._shown = dict.fromkeys(_HELP, 0)
        self._running = 0
        self._ends = clock() + interval

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it runs."""
        self._roll()
        self._running += 1
        self._counts["requests"] += 1
        self._counts["running"] = max(self._counts["running"], self._running)
        try:
            yield
        finally:
            self._running -= 1

    def tokens(self, number: int) -> None:
        """Count tokens; in a stream an event counts as one."""
        self._roll()
        self._counts["tokens"] += number

    def page(self) -> bytes:
        """Return the last interval in Prometheus' text format, coarsened."""
        self._roll()
        lines = []
        for name, text in _HELP.items():
            full = f"vitrine_{name}"
            lines += [f"# HELP {full} {text} in the last minute; a power of two, rounded down"]
            lines += [f"# TYPE {full} gauge", f"{full} {coarse(self._shown[name])}"]
        return "\n".join([*lines, ""]).encode()

    def _roll(self) -> None:
        late = self._clock() - self._ends
        if late < 0:
            return
        self._shown = self._counts if late < self._interval else dict.fromkeys(_HELP, 0)
        self._counts = {**dict.fromkeys(_HELP, 0), "running": self._running}
        self._ends += self._interval * (1 + late // self._interval)


def coarse(number: int) -> int:
    """Round down to a power of two; fewer than eight are none, so that one caller's coming does not show."""
    return 0 if number < _FEWEST else 1 << (number.bit_length() - 1)
