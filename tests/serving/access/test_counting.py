"""Rates, budgets and the clock: what cannot be set back, doubled, or pushed out."""

from __future__ import annotations

import itertools

import pytest

from serving.access.budgets import Budgets
from serving.access.clock import Clock, since_boot
from serving.access.rates import Rates
from serving.errors import RequestError
from tests.serving.access.issuing import NOW, claims


def code(call, *arguments):
    try:
        call(*arguments)
    except RequestError as error:
        return error.code
    return "passes"


def retry_after(call, *arguments):
    with pytest.raises(RequestError) as caught:
        call(*arguments)
    return caught.value.retry_after


@pytest.mark.parametrize("rate", [1, 3, 7, 60, 100_000])
def test_a_minutes_requests_pass_at_once_and_not_one_more(rate):
    rates = Rates(10)
    assert [code(rates.take, "a", rate, NOW) for _ in range(rate)] == ["passes"] * rate
    assert code(rates.take, "a", rate, NOW) == "rate_limit_exceeded"


def test_requests_come_back_evenly_and_the_refusal_says_when():
    rates = Rates(10)
    for _ in range(6):
        rates.take("a", 6, NOW)
    assert retry_after(rates.take, "a", 6, NOW) == 10
    assert retry_after(rates.take, "a", 6, NOW + 9.5) == 1
    assert code(rates.take, "a", 6, NOW + 10) == "passes"
    assert code(rates.take, "a", 6, NOW + 10) == "rate_limit_exceeded"


def test_a_refused_request_is_not_counted():
    rates = Rates(10)
    rates.take("a", 1, NOW)
    for second in range(1, 60):
        assert code(rates.take, "a", 1, NOW + second) == "rate_limit_exceeded"
    assert code(rates.take, "a", 1, NOW + 60) == "passes"


def test_in_no_minute_of_an_hour_twice_the_rate_passes():
    rates, instants = Rates(10), [NOW + tenth / 10 for tenth in range(36_000)]
    passed = [now for now in instants if code(rates.take, "a", 10, now) == "passes"]
    assert len(passed) <= 10 + 600
    assert max(sum(1 for at in passed if start <= at < start + 60) for start in passed) <= 20


def test_others_have_a_rate_of_their_own():
    rates = Rates(10)
    rates.take("a", 1, NOW)
    assert code(rates.take, "b", 1, NOW) == "passes"


def test_a_token_with_a_higher_rate_does_not_forgive_what_the_subject_asked():
    rates = Rates(10)
    rates.take("a", 1, NOW)
    assert code(rates.take, "a", 1000, NOW) == "rate_limit_exceeded"


def test_newcomers_cannot_push_a_busy_subject_out_of_a_full_table():
    rates = Rates(3)
    for name in "abc":
        rates.take(name, 1, NOW)
    assert [code(rates.take, f"new{i}", 1, NOW + 1) for i in range(50)] == ["too_many_callers"] * 50
    assert [code(rates.take, name, 1, NOW + 2) for name in "abc"] == ["rate_limit_exceeded"] * 3
    assert code(rates.take, "new", 1, NOW + 61) == "passes"


def test_a_subject_that_owes_nothing_makes_room():
    rates = Rates(1000)
    for i in range(100_000):
        rates.take(str(i), 60, NOW + i / 100)
    assert len(rates._until) <= 200


def budget(tokens, **changes):
    return Budgets(10).open(claims(tokens=tokens, **changes), NOW)


def test_a_budget_is_used_up_and_the_token_is_refused():
    budgets = Budgets(10)
    account = budgets.open(claims(tokens=100), NOW)
    account.hold(100)
    account.settle(100, 99)
    assert code(budgets.open, claims(tokens=100), NOW) == "passes"
    account.hold(1)
    account.settle(1, 1)
    assert retry_after(budgets.open, claims(tokens=100), NOW) == 3600


def test_requests_at_once_cannot_spend_the_same_rest_twice():
    account = budget(100)
    account.hold(60)
    assert code(account.hold, 60) == "rate_limit_exceeded"
    account.settle(60, 10)
    assert code(account.hold, 60) == "passes"


def test_a_request_that_can_never_fit_is_told_so():
    account = budget(100)
    assert code(account.hold, 101) == "insufficient_quota"
    account.settle(0, 50)
    assert code(account.hold, 51) == "insufficient_quota"


def test_a_refused_hold_holds_nothing():
    account = budget(100)
    for _ in range(10):
        assert code(account.hold, 101) == "insufficient_quota"
    assert code(account.hold, 100) == "passes"


def test_an_engine_that_counts_more_than_was_held_ends_the_budget():
    budgets = Budgets(10)
    account = budgets.open(claims(tokens=100), NOW)
    account.hold(10)
    account.settle(10, 500)
    assert code(budgets.open, claims(tokens=100), NOW) == "insufficient_quota"


def test_newcomers_cannot_push_a_used_budget_out_of_a_full_table():
    budgets = Budgets(3)
    for number in range(3):
        budgets.open(claims(token_id=f"{number:022}"), NOW).settle(0, 100_000)
    newcomers = [claims(token_id=f"{number:022}") for number in range(3, 60)]
    assert {code(budgets.open, one, NOW + 1) for one in newcomers} == {"too_many_callers"}
    old = [claims(token_id=f"{number:022}") for number in range(3)]
    assert {code(budgets.open, one, NOW + 2) for one in old} == {"insufficient_quota"}


def test_a_budget_is_forgotten_with_its_token_and_not_before():
    budgets = Budgets(2)
    short = claims(token_id="a" * 22, expires_at=NOW + 10)
    budgets.open(short, NOW).settle(0, 100_000)
    budgets.open(claims(token_id="b" * 22), NOW)
    assert code(budgets.open, short, NOW + 9.9) == "insufficient_quota"
    assert code(budgets.open, claims(token_id="c" * 22), NOW + 9.9) == "too_many_callers"
    assert code(budgets.open, claims(token_id="c" * 22), NOW + 10) == "passes"
    assert len(budgets._accounts) == len(budgets._ends) == 2


def test_a_second_token_with_the_same_id_sets_no_budget_back():
    budgets = Budgets(10)
    long, short = (claims(tokens=100, expires_at=NOW + end) for end in (3600, 10))
    budgets.open(long, NOW).settle(0, 100)
    budgets.open(short, NOW)
    budgets.open(claims(token_id="x" * 22), NOW + 20)
    assert code(budgets.open, long, NOW + 20) == "insufficient_quota"


def test_a_request_that_outlives_its_token_is_settled_without_a_fault():
    budgets = Budgets(10)
    account = budgets.open(claims(expires_at=NOW + 1), NOW)
    account.hold(10)
    budgets.open(claims(token_id="x" * 22), NOW + 2)
    account.settle(10, 10)


class Hands:
    """Two clocks whose hands a host moves."""

    def __init__(self):
        self.wall, self.steady = 1000.0, 50.0
        self.clock = Clock(lambda: self.wall, lambda: self.steady)

    def after(self, *, wall, steady):
        self.wall, self.steady = self.wall + wall, self.steady + steady
        return self.clock.now()


def test_a_clock_that_is_set_back_goes_on():
    hands = Hands()
    assert hands.after(wall=10, steady=10) == 1010
    assert hands.after(wall=-500, steady=5) == 1015
    assert hands.after(wall=0, steady=100) == 1115
    assert hands.after(wall=5, steady=5) == 1120


def test_a_clock_that_is_set_forward_stays_there():
    hands = Hands()
    assert hands.after(wall=100_000, steady=1) == 101_000
    assert hands.after(wall=-99_999, steady=1) == 101_001


def test_even_if_both_hands_go_back_the_clock_does_not():
    hands = Hands()
    seen = [hands.after(wall=wall, steady=steady) for wall, steady in itertools.product((-7, 0, 3), (-11, 0, 2))]
    assert seen == sorted(seen)


def test_the_steady_hand_is_the_machines_own():
    first, second = since_boot(), since_boot()
    assert 0 < first <= second
