"""Who waits for a quote: a bound for all, and turns between callers."""

from __future__ import annotations

import asyncio

import pytest

from serving.errors import RequestError
from serving.gateway.evidence import EvidenceAnswer, Frame
from serving.gateway.waiting import Waiter, Waiting, caller_of

pytestmark = pytest.mark.asyncio


def joined(waiting, *callers):
    """Let one waiter of each caller wait; their nonces are their numbers."""
    waiters = [Waiter(bytes([number]) * 32, caller) for number, caller in enumerate(callers)]
    for waiter in waiters:
        waiting.add(waiter)
    return waiters


def sent_away(waiter):
    return waiter.answer.done() and isinstance(waiter.answer.exception(), RequestError)


async def test_one_caller_keeps_its_order():
    waiting = Waiting(10)
    waiters = joined(waiting, "a", "a", "a")
    assert waiting.take(2) == waiters[:2]
    assert waiting.take(2) == waiters[2:]
    assert waiting.take(2) == []


async def test_callers_take_turns_however_many_one_has_waiting():
    waiting = Waiting(100)
    waiters = joined(waiting, *["flood"] * 50, "b", "c", "b")
    order = [waiter.caller for waiter in waiting.take(6)]
    assert order == ["flood", "b", "c", "flood", "b", "flood"]
    assert waiting.take(100) == waiters[3:50]


async def test_a_caller_does_not_lose_its_turn_to_one_who_was_just_served():
    waiting = Waiting(100)
    joined(waiting, *["flood"] * 5)
    for _ in range(4):
        joined(waiting, "late")
        assert {waiter.caller for waiter in waiting.take(2)} == {"flood", "late"}


async def test_a_full_queue_sends_away_the_last_of_the_caller_with_most():
    waiting = Waiting(4)
    waiters = joined(waiting, "flood", "flood", "flood", "b", "c")
    assert sent_away(waiters[2])
    assert not any(map(sent_away, [*waiters[:2], *waiters[3:]]))
    assert [waiter.caller for waiter in waiting.take(9)] == ["flood", "b", "c", "flood"]
    with pytest.raises(RequestError) as caught:
        await waiters[2].answer
    assert (caught.value.status, caught.value.code) == (503, "attestation_overloaded")


async def test_a_flood_on_a_full_queue_displaces_nobody():
    waiting = Waiting(4)
    waiters = joined(waiting, "flood", "flood", "flood", "b")
    for _ in range(20):
        with pytest.raises(RequestError, match="attestation_overloaded"):
            joined(waiting, "flood")
    assert not any(map(sent_away, waiters))


async def test_callers_of_one_each_fill_the_queue_and_the_next_is_sent_away():
    waiting = Waiting(3)
    waiters = joined(waiting, "a", "b", "c")
    with pytest.raises(RequestError, match="attestation_overloaded"):
        joined(waiting, "d")
    assert not any(map(sent_away, waiters))


async def test_shares_of_a_full_queue_even_out():
    waiting = Waiting(12)
    joined(waiting, *["flood"] * 12)
    for caller in ("b", "c") * 10:
        try:
            joined(waiting, caller)
        except RequestError:
            continue
    counts = [waiter.caller for waiter in waiting.take(99)]
    assert {caller: counts.count(caller) for caller in set(counts)} == {"flood": 4, "b": 4, "c": 4}


async def test_who_gives_up_makes_room_and_is_not_answered():
    waiting = Waiting(2)
    first, second = joined(waiting, "a", "b")
    first.answer.cancel()
    waiting.remove(first)
    waiting.remove(first)  # who was taken or removed already is removed again without harm
    joined(waiting, "c")
    assert waiting.take(9)[0] is second
    first.give(EvidenceAnswer(Frame((), b"", b"", ()), b"x", seconds=1))
    first.refuse(RequestError("a", "b"))
    assert first.answer.cancelled()


async def test_who_was_given_up_but_not_yet_removed_can_be_displaced():
    waiting = Waiting(3)
    waiters = joined(waiting, "flood", "flood", "flood")
    waiters[2].answer.cancel()
    joined(waiting, "b")
    waiting.remove(waiters[2])
    assert [waiter.caller for waiter in waiting.take(9)] == ["flood", "b", "flood"]
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
