"""Sending a stream in its shape: an engine's events are read as they come, and told at each tick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serving.gateway.shaping import Batches, Shape


async def paced(events: AsyncGenerator[bytes], shape: Shape, began: float, *, most: int) -> AsyncGenerator[bytes]:
    """Yield one record at each tick until the events have ended and the stream may.

    At most about ``most`` bytes wait; then the engine does. Raises what ``events`` raises, at a tick.
    """
    loop, batches, room = asyncio.get_running_loop(), Batches(shape), asyncio.Event()
    reading = asyncio.create_task(_read(events, batches, room, most))
    due, last = began, False
    try:
        while not last:
            now = max(loop.time(), due + shape.tick / 2)  # a tick that came a little early is not repeated
            due = now + shape.wait(began, now, shape.tick)
            await asyncio.sleep(due - loop.time())
            if reading.done():
                reading.result()
            record, last = batches.take(due - began)
            room.set()
            yield record
            del record  # a thousand streams that wait for their next tick hold none
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(events: AsyncGenerator[bytes], batches: Batches, room: asyncio.Event, most: int) -> None:
    async with aclosing(events):
        async for some in events:
            batches.add(some)
            if batches.size > most:
                room.clear()
                await room.wait()
    batches.finish()
