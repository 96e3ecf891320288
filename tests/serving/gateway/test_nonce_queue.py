"""Who waits for a quote or an activation: a bound for all, and equal shares between callers."""

from __future__ import annotations

import asyncio

import pytest

from serving.errors import RequestError
from serving.gateway.callers import caller_of
from serving.gateway.evidence import EvidenceAnswer, Frame
from serving.gateway.nonce_queue import NonceQueue, Waiter

pytestmark = pytest.mark.asyncio


def joined(waiting, *callers):
    """Let one waiter of each caller wait; their nonces are their numbers."""
    waiters = [Waiter(bytes([number]) * 32, caller) for number, caller in enumerate(callers)]
    for waiter in waiters:
        waiting.add(waiter)
    return waiters


def sent_away(waiter):
    return waiter.answer.done() and isinstance(waiter.answer.exception(), RequestError)


async def test_the_next_quote_is_over_all_who_wait():
    waiting = NonceQueue(100)
    waiters = joined(waiting, *["flood"] * 50, "b", "c", "b")
    assert set(waiting.take()) == set(waiters)
    assert waiting.take() == []


async def test_turns_go_round_the_callers_and_the_longest_waiting_of_one_comes_first():
    waiting = NonceQueue(100)
    joined(waiting, *["flood"] * 3, "b", "c", "b")
    taken = [waiting.take_next() for _ in range(7)]
    assert [waiter.question[0] for waiter in taken[:6]] == [0, 3, 4, 1, 5, 2]
    assert taken[6] is None


async def test_who_took_a_turn_makes_room_and_comes_back_behind_others():
    waiting = NonceQueue(2)
    joined(waiting, "flood", "b")
    assert waiting.take_next().caller == "flood"
    joined(waiting, "flood")
    assert [waiting.take_next().caller for _ in range(2)] == ["b", "flood"]


async def test_who_was_taken_makes_room():
    waiting = NonceQueue(2)
    for _ in range(3):
        waiters = joined(waiting, "a", "a")
        assert waiting.take() == waiters
        waiting.remove(waiters[0])


@pytest.mark.parametrize("limit", [4097, 65_536])
async def test_more_than_one_quote_can_be_over_may_not_wait(limit):
    with pytest.raises(ValueError, match="4096 nonces at most"):
        NonceQueue(limit)


async def test_a_refusal_is_the_same_for_everybody_with_all_that_it_says():
    error = RequestError("busy", "Later.", status=429, param="nonce", retry_after=7)
    waiters = [Waiter(bytes(32), "a") for _ in range(2)]
    for waiter in waiters:
        waiter.refuse(error)
    told = [waiter.answer.exception() for waiter in waiters]
    assert len({id(error), *map(id, told)}) == 3
    for one in told:
        said = (str(one), one.code, one.message, one.status, one.param, one.retry_after)
        assert said == ("busy: Later.", "busy", "Later.", 429, "nonce", 7)


async def test_a_full_queue_sends_away_the_last_of_the_caller_with_most():
    waiting = NonceQueue(4)
    waiters = joined(waiting, "flood", "flood", "flood", "b", "c")
    assert sent_away(waiters[2])
    assert not any(map(sent_away, [*waiters[:2], *waiters[3:]]))
    assert sorted(waiter.caller for waiter in waiting.take()) == ["b", "c", "flood", "flood"]
    with pytest.raises(RequestError) as caught:
        await waiters[2].answer
    assert (caught.value.status, caught.value.code) == (503, "attestation_overloaded")


async def test_a_flood_on_a_full_queue_displaces_nobody():
    waiting = NonceQueue(4)
    waiters = joined(waiting, "flood", "flood", "flood", "b")
    for _ in range(20):
        with pytest.raises(RequestError, match="attestation_overloaded"):
            joined(waiting, "flood")
    assert not any(map(sent_away, waiters))


async def test_callers_of_one_each_fill_the_queue_and_the_next_is_sent_away():
    waiting = NonceQueue(3)
    waiters = joined(waiting, "a", "b", "c")
    with pytest.raises(RequestError, match="attestation_overloaded"):
        joined(waiting, "d")
    assert not any(map(sent_away, waiters))


async def test_shares_of_a_full_queue_even_out():
    waiting = NonceQueue(12)
    joined(waiting, *["flood"] * 12)
    for caller in ("b", "c") * 10:
        try:
            joined(waiting, caller)
        except RequestError:
            continue
    counts = [waiter.caller for waiter in waiting.take()]
    assert {caller: counts.count(caller) for caller in set(counts)} == {"flood": 4, "b": 4, "c": 4}


async def test_who_gives_up_makes_room_and_is_not_answered():
    waiting = NonceQueue(2)
    first, second = joined(waiting, "a", "b")
    first.answer.cancel()
    waiting.remove(first)
    waiting.remove(first)  # who was taken or removed already is removed again without harm
    joined(waiting, "c")
    assert waiting.take()[0] is second
    first.give(EvidenceAnswer(Frame((), b"", b"", ()), b"x", seconds=1))
    first.refuse(RequestError("a", "b"))
    assert first.answer.cancelled()


async def test_who_was_given_up_but_not_yet_removed_can_be_displaced():
    waiting = NonceQueue(3)
    waiters = joined(waiting, "flood", "flood", "flood")
    waiters[2].answer.cancel()
    joined(waiting, "b")
    waiting.remove(waiters[2])
    assert sorted(waiter.caller for waiter in waiting.take()) == ["b", "flood", "flood"]
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:db8:1:2::1", "2001:0db8:0001:0002:0000:0000:0000:0003"),
        ("fe80::1%eth0", "fe80::2"),
        ("::ffff:192.0.2.1", "::ffff:c000:201"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
async def test_one_network_is_one_caller(one, other):
    assert caller_of(one) == caller_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("192.0.2.1", ""),
    ],
)
async def test_other_networks_are_other_callers(one, other):
    assert caller_of(one) != caller_of(other)
