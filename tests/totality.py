"""What it means that a parser is total: any bytes give frozen fields or our error with a place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError


def only_evidence_errors(parser: Callable[[bytes], Any], data: bytes) -> None:
    """Check that a parser does nothing else with these bytes."""
    place, found = "read", None
    try:
        found = parser(data)
    except EvidenceError as error:
        place = error.where
    assert place
    assert not dataclasses.is_dataclass(found) or type(found).__dataclass_params__.frozen


def with_a_few_changes(check: Callable[[bytes], None], good: bytes, *, examples: int = 60) -> None:
    """Check good bytes in which one to four places were cut or written over."""
    change = st.tuples(st.integers(0, len(good) - 1), st.binary(min_size=0, max_size=4), st.integers(0, 4))

    @settings(max_examples=examples, derandomize=True, deadline=None, database=None)
    @given(st.lists(change, min_size=1, max_size=4))
    def run(changes):
        data = bytearray(good)
        for place, extra, cut in changes:
            data[place : place + cut] = extra
        check(bytes(data))

    run()
