"""What an observer of the connection sees: the records below TLS, with shaping and, as the control, without.

A busy machine can delay a record past half a tick, so that it counts for the next one. A leak shows every time; so what
must be equal must be so in one of a few rounds, and what must differ in all of them.
"""

from __future__ import annotations

import pytest

from serving.gateway.shaping import Shape
from tests.serving.gateway.running import MODEL, gateway
from tests.serving.gateway.tap import observed, tapped

pytestmark = pytest.mark.asyncio
ROUNDS = 3
TICK = Shape().tick
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
SHORT, LONG = ["a"] * 8, [" indistinguishable"] * 8
STREAM, WHOLE = {**CHAT, "stream": True}, CHAT


async def watch(running, tap, body, *, tokens=SHORT, pause=0.03, path="/v1/chat/completions", fault="answer"):
    running.engine.tokens, running.engine.token_pause, running.engine.fault.kind = tokens, pause, fault
    await observed(running, tap, path, body)
    return tap.seen(TICK)


async def equal(folder, first, second, *, shaping):
    """In how many of some rounds two exchanges look the same."""
    same = 0
    async with gateway(folder, shaping=shaping) as running, tapped(running.port) as tap:
        for _ in range(ROUNDS):
            same += await watch(running, tap, **first) == await watch(running, tap, **second)
            if shaping and same:
                break
    return same


PAIRS = [
    pytest.param({"body": STREAM}, {"body": STREAM, "tokens": LONG}, id="short and long tokens of a stream"),
    pytest.param({"body": STREAM}, {"body": STREAM, "pause": 0.08}, id="a fast and a slow engine"),
    pytest.param({"body": STREAM}, {"body": STREAM, "tokens": ["a"] * 20}, id="few and many tokens"),
    pytest.param({"body": WHOLE}, {"body": WHOLE, "tokens": LONG}, id="short and long whole answers"),
    pytest.param({"body": WHOLE}, {"body": WHOLE, "fault": "broken"}, id="an answer and an engine's failure"),
    pytest.param({"body": WHOLE}, {"body": WHOLE, "fault": "refuse"}, id="an answer and an engine's refusal"),
    pytest.param(
        {"body": STREAM},
        {"body": STREAM, "fault": "crash_in_stream", "pause": 2 * TICK},
        id="a stream and a crash in it",
    ),
    pytest.param({"body": {}}, {"body": {"model": "other"}}, id="two refusals"),
    pytest.param(
        {"body": {"model": MODEL, "prompt": "a"}, "path": "/v1/tokenize", "tokens": ["a"]},
        {"body": {"model": MODEL, "prompt": "a"}, "path": "/v1/tokenize", "tokens": LONG},
        id="few and many tokens of a text",
    ),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_two_answers_of_different_length_look_the_same(tmp_path, first, second):
    assert await equal(tmp_path, first, second, shaping=True)


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_without_shaping_they_differ(tmp_path, first, second):
    assert await equal(tmp_path, first, second, shaping=False) == 0


async def test_a_stream_is_one_record_of_one_size_at_each_tick(tmp_path):
    sizes = set()
    async with gateway(tmp_path, shaping=True) as running, tapped(running.port) as tap:
        for tokens in (SHORT, LONG):
            for _ in range(ROUNDS):
                seen = await watch(running, tap, STREAM, tokens=tokens, pause=0.2)
                (_, head), *records, (_, end) = seen
                sizes |= {(head, *{size for _, size in records}, end)}
                if len(records) % (Shape().end / TICK) == 0:
                    break
            else:
                pytest.fail("in no round was there a record at each tick")
    overhead = 5 + 1 + 16  # record header, content type, tag
    assert sizes == {(512 + overhead, 4096 + len("1000\r\n\r\n") + overhead, 5 + overhead)}
