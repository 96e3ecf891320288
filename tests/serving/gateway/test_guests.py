"""Who is shown out when the house is full: of the caller with most, and nobody who works while one rests."""

from __future__ import annotations

import pytest

from serving.gateway.guests import FullError, Guest, Guests


class House:
    def __init__(self, limit):
        self.guests, self.out = Guests(limit), []

    def enters(self, name, caller, *, works=False):
        guest = Guest(self.guests, caller, lambda: self.out.append(name))
        self.guests.add(guest)
        if works:
            guest.works()
        return guest


def test_while_there_is_room_nobody_goes():
    house = House(3)
    for name in "abc":
        house.enters(name, "one")
    assert (len(house.guests), house.out) == (3, [])


def test_a_crowd_of_idle_connections_shows_its_own_oldest_out():
    house = House(4)
    house.enters("honest", "other")
    for number in range(100):
        house.enters(number, "crowd")
    assert house.out == list(range(97))
    assert len(house.guests) == 4


def test_a_newcomer_takes_the_place_of_the_crowds_oldest():
    house = House(3)
    for name in "abc":
        house.enters(name, "crowd")
    house.enters("honest", "other")
    assert house.out == ["a"]


def test_a_newcomer_does_not_take_the_place_of_one_who_has_little():
    house = House(4)
    house.enters("honest", "other")
    for name in "abc":
        house.enters(name, "crowd")
    house.enters("late", "third")
    assert house.out == ["a"]


def test_who_rests_goes_before_who_works():
    house = House(3)
    house.enters("works", "crowd", works=True)
    house.enters("rests", "crowd")
    house.enters("rests too", "crowd")
    house.enters("late", "crowd")
    assert house.out == ["rests"]


def test_who_has_worked_again_has_rested_least():
    house = House(2)
    first = house.enters("first", "crowd")
    house.enters("second", "crowd")
    first.works()
    first.rests()
    house.enters("late", "crowd")
    assert house.out == ["second"]


def test_a_crowd_that_works_gives_its_last_to_another_and_none_to_itself():
    house = House(3)
    for name in "abc":
        house.enters(name, "crowd", works=True)
    with pytest.raises(FullError):
        house.enters("d", "crowd")
    house.enters("honest", "other")
    assert house.out == ["c"]
    assert len(house.guests) == 3


def test_callers_who_all_work_and_have_the_same_keep_what_they_have():
    house = House(2)
    for caller in "ab":
        house.enters(caller, caller, works=True)
    with pytest.raises(FullError):
        house.enters("late", "c")
    assert house.out == []


def test_no_caller_is_pushed_out_by_one_who_has_as_many():
    house = House(4)
    for caller in "abab":
        house.enters(caller, caller)
    house.enters("late", "a")
    assert house.out == ["a"]


def test_who_left_makes_room_once():
    house = House(2)
    first = house.enters("first", "one")
    house.enters("second", "one")
    first.leaves()
    first.leaves()
    house.enters("third", "one")
    assert (len(house.guests), house.out) == (2, [])


def test_who_was_shown_out_comes_back_by_no_word_of_its_own():
    house = House(1)
    first = house.enters("first", "one")
    house.enters("second", "one")
    first.works()
    first.rests()
    first.leaves()
    assert (len(house.guests), house.out) == (1, ["first"])
