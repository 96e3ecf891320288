"""Nobody gets all of what is shared, and nothing is lost when somebody is refused."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from serving.errors import RequestError
from serving.gateway.shares import Shares


def take_all(shares, caller, stack):
    """Take one by one until refused; return how many."""
    for count in range(1000):
        try:
            stack.enter_context(shares.holding(caller))(1)
        except RequestError:
            return count
    return 1000


def test_whoever_takes_all_he_gets_leaves_half_and_so_does_the_next():
    with ExitStack() as stack:
        shares = Shares(64)
        taken = [take_all(shares, caller, stack) for caller in "abcd"]
        assert taken[0] == 33
        assert sum(taken) < 64
        assert take_all(shares, "e", stack) >= 1, "somebody new still gets one"


def test_a_crowd_of_which_each_wants_one_gets_all():
    with ExitStack() as stack:
        shares = Shares(64)
        for number in range(64):
            stack.enter_context(shares.holding(str(number)))(1)
        with pytest.raises(RequestError):
            shares.require("one more")


def test_what_was_held_is_free_again_however_it_ends():
    shares = Shares(10)
    for _ in range(50):
        with shares.holding("a") as take:
            take(6)
            with pytest.raises(RequestError) as caught:
                take(1)
            assert caught.value.status == 429
    with shares.holding("b") as take:
        take(10)
        with pytest.raises(RequestError):
            shares.require("a")
    shares.require("a", 10)


@pytest.mark.parametrize("amount", [11, 10**9])
def test_more_than_there_is_is_never_had(amount):
    with pytest.raises(RequestError):
        Shares(10).require("a", amount)


def test_one_place_is_had_by_one():
    with ExitStack() as stack:
        assert take_all(Shares(1), "a", stack) == 1
