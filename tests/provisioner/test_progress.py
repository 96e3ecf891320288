"""Long waits say that they go on, and not at every look."""

from __future__ import annotations

import pytest

from provisioner import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_wait_says_a_line_when_its_time_has_come_and_nothing_between(clock):
    said = []
    told = progress.paced(said.append, every=30.0)
    for second in range(0, 100, 2):
        clock[0] = 100.0 + second
        told(f"{second} s")
    assert said == ["30 s", "60 s", "90 s"]


def test_a_short_wait_says_nothing(clock):
    said = []
    told = progress.paced(said.append)
    clock[0] += progress.PACE_SECONDS - 1
    told("still at it")
    assert said == []
