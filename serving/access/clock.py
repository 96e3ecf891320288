"""A clock that does not go back: a host that sets its guest's clock back would make expired tokens valid again.

It cannot tell a host that sets the clock forward, slows it down or stops the machine: a guest's clock is the host's.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def since_boot() -> float:
    """Return the seconds since boot, sleep included (clock_gettime(2)): no setting of the clock changes it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """The latest instant that was ever seen, and what has passed since; or the system's clock, when that is later."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = since_boot) -> None:
        self._wall, self._steady = wall, steady
        self._latest, self._at = wall(), steady()

    def now(self) -> float:
        """Return seconds since 1970; never less than before."""
        at = self._steady()
        self._latest = max(self._wall(), self._latest + max(0.0, at - self._at))
        self._at = at
        return self._latest
