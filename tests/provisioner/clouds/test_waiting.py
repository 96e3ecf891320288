"""Waiting: there is always a look, the last one is after the time, and pauses lie between them."""

from __future__ import annotations

import pytest

from provisioner.clouds import waiting


@pytest.fixture
def clock(monkeypatch):
    """Let time pass by sleeping alone; return how long each sleep was."""
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting.time, "sleep", sleep)
    return slept


@pytest.mark.parametrize(("seconds", "looks"), [(0.0, [0.0, 2.0]), (3.0, [0.0, 2.0, 4.0]), (-1.0, [0.0])])
def test_what_came_about_in_time_is_seen(clock, seconds, looks):
    assert list(waiting.looks(seconds, pause=2.0)) == looks
    assert clock == [2.0] * (len(looks) - 1)


def test_nobody_sleeps_after_the_look_that_was_enough(clock):
    for _ in waiting.looks(60.0, pause=2.0):
        break
    assert clock == []
