"""The arithmetic of shapes: sizes and instants."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from serving.gateway.shaping import Batches, Shape

SHAPE = Shape()
DONE = b"data: [DONE]\n\n"


def event(text):
    return b"data: " + json.dumps({"x": text}).encode() + b"\n\n"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 100_000])
def test_a_padded_text_is_a_power_of_two_and_the_same_json(size):
    body = json.dumps("x" * size).encode()
    padded = SHAPE.pad_json(body)
    assert json.loads(padded) == "x" * size
    assert len(padded) & (len(padded) - 1) == 0
    assert max(4096, len(body)) <= len(padded) < max(4097, 2 * len(body))


@pytest.mark.parametrize("size", [0, 1, 4000, *range(4070, 4100), 9000])
def test_padded_events_are_a_power_of_two_and_the_padding_is_a_comment(size):
    events = event("x" * size) if size else b""
    padded = SHAPE.pad_events(events)
    assert len(padded) & (len(padded) - 1) == 0
    assert padded.startswith(events)
    comment, end, nothing = padded[len(events) :].partition(b"\n\n")
    assert (comment[:1], end, nothing) == (b":", b"\n\n", b"")
    assert b"\n" not in comment


def test_no_size_between_two_buckets_is_seen():
    sizes = {len(SHAPE.pad_events(event("x" * size))) for size in range(3000)}
    assert sizes == {4096}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"content-type": "application/json", "content-length": "4096"}),
        (200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}),
        (429, {"content-type": "application/json", "content-length": "4096", "retry-after": "2"}),
        (413, {"content-type": "application/json", "content-length": "16777216", "connection": "close"}),
    ],
)
def test_every_head_has_one_size(status, headers):
    assert len(head(status, headers)) == 512


@pytest.mark.parametrize(("value", "size"), [(421, 512), (422, 1024), (2000, 4096)])
def test_a_head_that_is_longer_shows_as_the_next_power_of_two(value, size):
    headers = {"content-type": "application/json", "content-length": "4096", "x": "x" * value}
    assert len(head(200, headers)) == size


def head(status, headers):
    """The head as uvicorn writes it."""
    padded = SHAPE.pad_head(status, headers)
    text = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    text += "".join(f"{k}: {v}\r\n" for k, v in padded.items()) + "\r\n"
    if "content-length" not in headers:
        text += "transfer-encoding: chunked\r\n"
    return text


@pytest.mark.parametrize(("tick", "end"), [(0.25, 0.9), (0.25, 0.1), (0.3, 1.0), (0.25, 0.0)])
def test_a_shape_whose_streams_could_not_end_at_a_tick_is_refused(tick, end):
    with pytest.raises(ValueError, match="whole number of ticks"):
        Shape(tick=tick, end=end)


@pytest.mark.parametrize(("tick", "end"), [(0.1, 0.3), (0.05, 0.7), (1.0, 1.0)])
def test_ticks_that_binary_fractions_do_not_meet_are_whole_ones_all_the_same(tick, end):
    batches = Batches(Shape(tick=tick, end=end))
    batches.finish()
    assert batches.take(end)[1]


@pytest.mark.parametrize(("now", "due"), [(100.0, 101), (100.01, 101), (100.999, 101), (101.0, 101), (101.01, 102)])
def test_answers_leave_on_a_grid_that_began_with_the_request(now, due):
    assert now + SHAPE.wait(100.0, now, 1.0) == pytest.approx(due)


def shown(*told, shape=SHAPE):
    """What an observer sees of a stream whose events come as told: at each tick, the record's size."""
    batches, seen = Batches(shape), []
    for tick in range(1, 41):
        for when, events in told:
            if tick - 1 < when / shape.tick <= tick:
                batches.add(events)
                if events.endswith(DONE):
                    batches.finish()
        record, last = batches.take(tick * shape.tick)
        seen.append(len(record))
        if last:
            return seen
    return seen


SHORT = [*((0.1 + i / 10, event("a")) for i in range(20)), (2.2, DONE)]
LONG = [*((0.2 + i / 7, event("indistinguishable")) for i in range(12)), (2.7, DONE)]


def test_tokens_of_any_length_at_any_pace_show_the_same():
    assert shown(*SHORT) == shown(*LONG) == [4096] * 12


def test_with_smaller_buckets_they_would_differ():
    fine = Shape(smallest=1)
    assert shown(*SHORT, shape=fine) != shown(*LONG, shape=fine)


def test_a_silent_engine_shows_as_a_busy_one():
    assert shown((0.1, event("a")), (4.9, event("b")), (4.95, DONE)) == [4096] * 20


def test_a_streams_end_is_held_until_it_may_end():
    batches = Batches(SHAPE)
    batches.add(event("a") + DONE)
    batches.finish()
    first, last = batches.take(0.25)
    assert (event("a") in first, DONE in first, last) == (True, False, False)
    second, last = batches.take(1.0)
    assert (second.startswith(DONE), last) == (True, True)


def test_a_stream_of_a_machine_that_skips_ticks_ends_all_the_same():
    """If it happened to skip each one at which a stream may end, it would go on for ever."""
    batches = Batches(SHAPE)
    assert not batches.take(0.25)[1]
    batches.finish()
    assert not batches.take(0.75)[1]
    assert batches.take(1.25)[1]
    early = Batches(SHAPE)
    assert not early.take(1.25)[1]
    early.finish()
    assert [early.take(seconds)[1] for seconds in (1.5, 1.75, 2.0)] == [False, False, True]


@pytest.mark.parametrize("name", [b"response.completed", b"response.incomplete"])
def test_a_responses_end_is_held_as_well(name):
    batches = Batches(SHAPE)
    batches.add(event("a"))
    batches.add(b"event: " + name + b"\ndata: {}\n\n")
    batches.finish()
    assert name not in batches.take(0.75)[0]
    assert name in batches.take(1.0)[0]


def test_a_burst_shows_as_the_next_power_of_two():
    batches = Batches(SHAPE)
    batches.add(event("x" * 5000))
    assert len(batches.take(0.25)[0]) == 8192
    assert len(batches.take(0.5)[0]) == 4096
