"""Sending to a client that may have stopped reading: how long it has been waited for, without a timer a message.

A timer for each token cost as much as sending it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any


class Outgoing:
    """ASGI's ``send``, and for how long the message that is on its way may still be. Times in seconds."""

    def __init__(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]], limit: float) -> None:
        self._send, self._limit = send, limit
        self._since: float | None = None

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send; it returns once the connection has room for more."""
        self._since = time.monotonic()
        await self._send(message)
        self._since = None

    def left(self) -> float:
        """Return how long it is until a client that takes nothing has to be given up; at most 0: it has to be now."""
        return self._limit if self._since is None else self._since + self._limit - time.monotonic()
