"""What callers share: places, or bytes. Each may have about as much as is left free, so that nobody has all of it.

One caller alone gets half. Each that comes after gets half of what it finds, and whoever has nothing yet gets the last
place: so however much somebody takes, something is left for others. Nothing is set aside for anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.gateway.replies import busy


class Shares:
    """So much of one thing, and who has how much of it. One event loop uses it."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._held: Counter[str] = Counter()

    def require(self, caller: str, amount: int = 1) -> None:
        """Let a caller have so much more.

        Raises:
            RequestError: so much is not free, or he has more than is free.
        """
        if amount > self._free or self._held[caller] > self._free:
            raise busy()

    @contextmanager
    def holding(self, caller: str) -> Iterator[Callable[[int], None]]:
        """Yield what takes so much more for a caller, and raises as ``require``; leaving the block gives all back."""
        mine = 0

        def take(amount: int) -> None:
            nonlocal mine
            self.require(caller, amount)
            mine += amount
            self._free -= amount
            self._held[caller] += amount

        try:
            yield take
        finally:
            self._free += mine
            self._held[caller] -= mine
            if not self._held[caller]:
                del self._held[caller]
