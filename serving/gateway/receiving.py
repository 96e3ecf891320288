"""Receiving a request's body: bounded in size and in time, whatever its sender says and does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from serving.errors import RequestError


async def receive_body(request: Request, *, limit: int, seconds: float, take: Callable[[int], None]) -> bytes:
    """Return the body, of at most ``limit`` bytes; ``take`` is told of each piece before it is kept, and may raise.

    Raises:
        RequestError: 413 or 408.
    """
    too_large = RequestError("body_too_large", f"The body has more than {limit} bytes.", status=413)
    length = request.headers.get("content-length", "0").strip(" \t")
    if not length.isdecimal() or int(length[:20]) > limit:
        raise too_large
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                if len(data) + len(chunk) > limit:
                    raise too_large
                take(len(chunk))
                data += chunk
    except TimeoutError as error:
        raise RequestError("body_timeout", "The body did not arrive in time.", status=408) from error
    return bytes(data)
