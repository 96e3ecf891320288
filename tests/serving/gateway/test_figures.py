"""What the page of figures tells, and what it does not."""

from __future__ import annotations

import pytest

from serving.gateway.figures import Figures, coarse
from tests.serving.gateway.running import gateway


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def shown(figures):
    return [int(line.split()[1]) for line in figures.page().decode().splitlines() if not line.startswith("#")]


def counted(requests, tokens):
    clock = Clock()
    figures = Figures(60, clock)
    for _ in range(requests):
        with figures.request():
            figures.tokens(tokens)
    return figures, clock


def test_nothing_is_shown_before_a_minute_is_over():
    figures, clock = counted(100, 10)
    clock.now = 59.9
    assert shown(figures) == [0, 0, 0]
    clock.now = 60
    assert shown(figures) == [64, 512, 0]


def test_within_a_minute_the_page_does_not_change_whatever_happens():
    figures, clock = counted(100, 10)
    clock.now = 60
    before = figures.page()
    for _ in range(50):
        with figures.request():
            figures.tokens(1000)
        clock.now += 1
        assert figures.page() == before


def test_one_callers_coming_does_not_show():
    clocks = [counted(count, 0) for count in (0, 1, 7)]
    for _, clock in clocks:
        clock.now = 60
    assert len({figures.page() for figures, _ in clocks}) == 1


def test_one_request_more_or_less_does_not_show():
    pages = set()
    for count in range(64, 128):
        figures, clock = counted(count, 1)
        clock.now = 60
        pages.add(figures.page())
    assert len(pages) == 1


def test_a_minute_without_requests_forgets_the_one_before():
    figures, clock = counted(100, 10)
    clock.now = 180
    assert shown(figures) == [0, 0, 0]


def test_requests_that_run_on_are_counted_in_the_next_minute():
    clock = Clock()
    figures = Figures(60, clock)
    held = [figures.request() for _ in range(9)]
    for one in held:
        one.__enter__()
    clock.now = 60
    figures.page()
    clock.now = 120
    assert shown(figures) == [0, 0, 8]


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
