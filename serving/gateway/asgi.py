"""The three things that an ASGI application is called with (the ASGI specification, "Applications")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
"""A connection's scope, and an event on it."""
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
