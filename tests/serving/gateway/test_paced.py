"""A stream that is sent in its shape: when it waits, when it fails, when its reader leaves."""

from __future__ import annotations

import asyncio

import pytest

from serving.errors import EngineError
from serving.gateway.paced import paced
from serving.gateway.shaping import Shape

pytestmark = pytest.mark.asyncio
SHAPE = Shape(tick=0.02, end=0.08)


class Source:
    """Events of a thousand bytes; counts what was taken, and notes when it was closed."""

    def __init__(self, count, *, fails=False):
        self.count, self.fails, self.taken, self.closed = count, fails, 0, False

    async def events(self):
        try:
            for _ in range(self.count):
                self.taken += 1
                yield b"data: " + b"x" * 992 + b"\n\n"
                await asyncio.sleep(0)
            if self.fails:
                raise EngineError("gone")
            yield b"data: [DONE]\n\n"
        finally:
            self.closed = True


def now():
    return asyncio.get_running_loop().time()


async def test_an_engine_that_is_faster_than_the_reader_is_held_back():
    source = Source(1000)
    records = paced(source.events(), SHAPE, now(), most=5000)
    await anext(records)
    await asyncio.sleep(0.2)
    held = source.taken
    assert 5 < held <= 14
    await anext(records)
    await asyncio.sleep(0.1)
    assert held < source.taken <= held + 8
    await records.aclose()


async def test_all_events_come_in_their_order_and_the_end_last():
    source = Source(20)
    data = b"".join([record async for record in paced(source.events(), SHAPE, now(), most=5000)])
    events = [event for event in data.split(b"\n\n") if event and not event.startswith(b":")]
    assert len(events) == 21
    assert events[-1] == b"data: [DONE]"


async def test_a_failure_before_the_first_tick_is_raised_at_it():
    began = now()
    with pytest.raises(EngineError):
        await anext(paced(Source(1, fails=True).events(), SHAPE, began, most=5000))
    assert now() - began >= SHAPE.tick * 0.9


async def test_a_reader_who_leaves_closes_the_engines_stream():
    source = Source(10**9)
    records = paced(source.events(), SHAPE, now(), most=10**12)
    await anext(records)
    await records.aclose()
    assert source.closed
