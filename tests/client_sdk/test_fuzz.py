"""Every parser and every stage takes any bytes: a value comes out, or an error that says what is wrong with them.

`make fuzz` runs the same targets guided by coverage (docs/fuzzing.md).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import client_sdk.parse
from client_sdk.conformance.__main__ import ACCEPTED, STAGES
from tests.fuzz.parsers import PARSERS
from tests.fuzz.stages import GROUPS, stage_target
from tests.fuzz.target import Refused, outcome

TARGETS = {target.name: target for group in PARSERS.values() for target in group}
STAGE_TARGETS = {name: stage_target(name) for name in STAGES}
ALL = TARGETS | STAGE_TARGETS
HUGE = 10_000_000
# What a parser may take for 10 MB is 50 ms; a hundred times that is no timing, only "not for ever".
CPU_SECONDS, STAGE_CPU_SECONDS = 5, 60
bounded = settings(max_examples=40, derandomize=True, deadline=None, database=None)
changes = st.lists(st.tuples(st.integers(0, 2**32), st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=4)


def changed(good, edits):
    data = bytearray(good)
    for place, extra, cut in edits:
        start = place % (len(data) + 1)
        data[start : start + cut] = extra
    return bytes(data)


def test_no_target_is_missing():
    covered = {function for target in TARGETS.values() for function in target.covers}
    found = set()
    for module in pkgutil.iter_modules(client_sdk.parse.__path__):
        code = importlib.import_module(f"client_sdk.parse.{module.name}")
        functions = inspect.getmembers(code, inspect.isfunction)
        found |= {f for name, f in functions if f.__module__ == code.__name__ and not name.startswith("_")}
    assert found - covered == {client_sdk.parse.canonical_xml.canonical}  # it takes a tree; `xml` writes each one
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(STAGES)
    assert len(TARGETS) == sum(map(len, PARSERS.values()))


@pytest.mark.parametrize("name", TARGETS)
def test_control_is_read(name):
    assert all(not isinstance(outcome(TARGETS[name], seed), Refused) for seed in TARGETS[name].seeds[:1])


@pytest.mark.parametrize("name", STAGE_TARGETS)
def test_control_is_accepted(name):
    target = STAGE_TARGETS[name]
    assert {target.call(seed) for seed in target.seeds} == {ACCEPTED}


@pytest.mark.parametrize("name", ALL)
def test_any_bytes(name):
    @bounded
    @given(st.binary(max_size=400))
    def run(data):
        outcome(ALL[name], data)

    run()


@pytest.mark.parametrize("name", ALL)
def test_good_bytes_with_a_few_changes(name):
    @bounded
    @given(st.sampled_from(ALL[name].seeds), changes)
    def run(good, edits):
        outcome(ALL[name], changed(good, edits))

    run()


@pytest.mark.parametrize("name", ALL)
def test_good_bytes_cut_short(name):
    @bounded
    @given(st.sampled_from(ALL[name].seeds), st.integers(0, 2**32))
    def run(good, place):
        outcome(ALL[name], good[: place % (len(good) + 1)])

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_ten_megabytes_are_no_hang(name):
    good = TARGETS[name].seeds[0]
    for filler in (b"\0", b"\xff", b"[", b"0\x80", b"<a>", good):
        data = good + filler * (HUGE // len(filler))
        started = time.process_time()
        outcome(TARGETS[name], data)
        assert time.process_time() - started < CPU_SECONDS, filler[:4]


@pytest.mark.parametrize("name", STAGE_TARGETS)
def test_ten_megabytes_in_a_request_are_no_hang(name):
    target = STAGE_TARGETS[name]
    whole, first = target.seeds[0], target.seeds[1]
    for data in (whole + b" " * HUGE, whole[:1] + b"[" * HUGE, whole[:1] + b'"' * HUGE, first + bytes(HUGE)):
        started = time.process_time()
        target.call(data)
        assert time.process_time() - started < STAGE_CPU_SECONDS, data[:20]
