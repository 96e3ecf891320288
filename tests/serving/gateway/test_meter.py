"""What the page of figures tells, and what it does not."""

from __future__ import annotations

import pytest

from serving.gateway.meter import Meter, coarse
from tests.serving.gateway.running import gateway


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def figures(meter):
    return [int(line.split()[1]) for line in meter.page().decode().splitlines() if not line.startswith("#")]


def metered(requests, tokens):
    clock = Clock()
    meter = Meter(60, clock)
    for _ in range(requests):
        with meter.request():
            meter.tokens(tokens)
    return meter, clock


def test_nothing_is_shown_before_a_minute_is_over():
    meter, clock = metered(100, 10)
    clock.now = 59.9
    assert figures(meter) == [0, 0, 0]
    clock.now = 60
    assert figures(meter) == [64, 512, 0]


def test_within_a_minute_the_page_does_not_change_whatever_happens():
    meter, clock = metered(100, 10)
    clock.now = 60
    before = meter.page()
    for _ in range(50):
        with meter.request():
            meter.tokens(1000)
        clock.now += 1
        assert meter.page() == before


def test_one_callers_coming_does_not_show():
    clocks = [metered(count, 0) for count in (0, 1, 7)]
    for _, clock in clocks:
        clock.now = 60
    assert len({meter.page() for meter, _ in clocks}) == 1


def test_one_request_more_or_less_does_not_show():
    pages = set()
    for count in range(64, 128):
        meter, clock = metered(count, 1)
        clock.now = 60
        pages.add(meter.page())
    assert len(pages) == 1


def test_a_minute_without_requests_forgets_the_one_before():
    meter, clock = metered(100, 10)
    clock.now = 180
    assert figures(meter) == [0, 0, 0]


def test_requests_that_run_on_are_counted_in_the_next_minute():
    clock = Clock()
    meter = Meter(60, clock)
    held = [meter.request() for _ in range(9)]
    for one in held:
        one.__enter__()
    clock.now = 60
    meter.page()
    clock.now = 120
    assert figures(meter) == [0, 0, 8]


def test_coarse_is_a_power_of_two_below():
    assert [coarse(n) for n in (0, 7, 8, 15, 16, 1000, 1 << 40)] == [0, 0, 8, 8, 16, 512, 1 << 40]


@pytest.mark.asyncio
async def test_without_the_inventorys_word_there_is_no_page(tmp_path):
    async with gateway(tmp_path) as running:
        assert (await running.ask("GET", "/metrics")).status == 404


@pytest.mark.asyncio
async def test_the_page_holds_no_name_of_anything(tmp_path):
    async with gateway(tmp_path, metrics=True) as running:
        await running.chat(messages=[{"role": "user", "content": "xyzzy"}])
        page = await running.ask("GET", "/metrics")
        assert page.status == 200
        assert [line for line in page.body.decode().splitlines() if not line.startswith("#")] == [
            "vitrine_requests 0",
            "vitrine_tokens 0",
            "vitrine_running 0",
        ]
