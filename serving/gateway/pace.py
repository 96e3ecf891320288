"""Working for all who wait, one piece of work after the other, and none sooner than a pause after the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Pace(Generic[Work]):
    """What ``take`` gives is worked on until it gives nothing. ``pause`` is between two beginnings, in seconds."""

    def __init__(
        self, take: Callable[[], Work | None], work: Callable[[Work], Awaitable[None]], *, pause: float
    ) -> None:
        self._take, self._work, self._pause = take, work, pause
        self._task: asyncio.Task[None] | None = None
        self._begun = float("-inf")

    def go(self) -> None:
        """Begin, if nobody is at it: somebody waits now."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._go())

    async def _go(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._begun + self._pause - loop.time()))
            if not (taken := self._take()):
                return
            self._begun = loop.time()
            await self._work(taken)
