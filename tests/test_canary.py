"""The search for a canary: every form is found, at every border, and nothing else is."""

from __future__ import annotations

import base64
import json
import os
import struct
import urllib.parse

import pytest

from tests.canary import Canary, Hit, counted, new_canary, search

CANARY = Canary('kw9vvé"hcsnc/ sgt3gü+2b4s6').with_tokens(range(300, 320), [7, *range(40_000, 40_012), 7])
NEEDLES = CANARY.needles()
NOISE = os.urandom(1 << 16)
TEXT = CANARY.text

# What other programs make of the text, by the form that has to find it; none of it is taken from the module.
WRITTEN = {
    "utf-8": TEXT.encode(),
    "latin-1": TEXT.encode("latin-1"),
    "utf-16-le": b"\xff\xfe" + TEXT.encode("utf-16-le"),
    "utf-16-be": TEXT.encode("utf-16-be"),
    "utf-32-le": TEXT.encode("utf-32-le"),
    "json": json.dumps({"content": f"say {TEXT}!"}).encode(),
    "json, upper case": rb"kw9vv\u00E9\"hcsnc/ sgt3g\u00FC+2b4s6",
    "json, utf-8": json.dumps([TEXT], ensure_ascii=False).encode(),
    "json in json": json.dumps({"arguments": json.dumps({"x": TEXT})}).encode(),
    "percent": urllib.parse.quote(f"?q={TEXT}&", safe="").encode(),
    "percent, lower case": b"kw9vv%c3%a9%22hcsnc%2f%20sgt3g%c3%bc%2b2b4s6",
    "form": urllib.parse.urlencode({"q": TEXT}).encode(),
    "python": repr({"body": TEXT.encode()}).encode(),
    "hex": TEXT.encode().hex().encode(),
    "hex, upper case": TEXT.encode().hex().upper().encode(),
    "tokens 0, 16 bit": struct.pack("<20H", *range(300, 320)),
    "tokens 0, 32 bit": struct.pack("<20i", *range(300, 320)),
    "tokens 0, 64 bit": struct.pack("<20q", *range(300, 320)),
    "tokens 0, text": json.dumps({"tokens": [*range(300, 320)]}).encode(),
    "tokens 0, dense text": json.dumps([*range(300, 320)], separators=(",", ":")).encode(),
    "tokens 1, 16 bit": struct.pack("<12H", *range(40_000, 40_012)),
}


def found(*chunks, needles=NEEDLES):
    return {hit.form for hit in search(chunks, needles)}


@pytest.mark.parametrize("form", WRITTEN)
def test_every_form_is_found_among_other_bytes(form):
    assert form in found(NOISE + WRITTEN[form] + NOISE)


@pytest.mark.parametrize("place", range(3))
def test_base64_is_found_wherever_the_text_begins_in_a_group(place):
    for before, after in ((b"abc", b""), (b"\xff" * 9, b"\xff" * 7)):
        data = before + b"z" * place + TEXT.encode() + after
        assert f"base64, {place}" in found(base64.b64encode(data))
        assert f"base64 for URLs, {place}" in found(base64.urlsafe_b64encode(data))


@pytest.mark.parametrize("form", NEEDLES)
def test_a_needle_is_found_once_wherever_chunks_are_cut(form):
    needle = NEEDLES[form]
    data = b"\0" * 300 + needle + b"\0" * 300
    for cut in range(290, 310 + len(needle)):
        assert [*search((data[:cut], data[cut:]), {form: needle})] == [Hit(form, 300)]


def test_a_needle_is_found_in_pieces_of_every_size():
    data = NOISE[:97] + TEXT.encode() + NOISE[:31] + TEXT.encode("utf-16-le") + NOISE[:5]
    for size in range(1, 64):
        hits = [*search((data[i : i + size] for i in range(0, len(data), size)), NEEDLES)]
        assert sorted((hit.form, hit.offset) for hit in hits) == [("utf-16-le", 156), ("utf-8", 97)], size


def test_neighbours_and_overlapping_ones_all_count():
    assert counted(search([TEXT.encode() * 5], NEEDLES)) == {"utf-8": 5}
    assert [hit.offset for hit in search([b"aXa", b"XaXa"], {"x": b"aXa"})] == [0, 2, 4]


def test_places_are_right_behind_zeros_that_are_skipped():
    zeros = bytes(4096)
    needles = {"ends in zeros": b"ab\0\0\0\0", "begins with zeros": b"\0\0\0xy"}
    hits = [*search((zeros, b"..ab", zeros, zeros, b"xy", zeros), needles)]
    assert hits == [Hit("ends in zeros", 4098), Hit("begins with zeros", 4100 + 8192 - 3)]


def test_what_is_no_canary_is_not_found():
    assert found(NOISE, TEXT[:-1].encode(), TEXT[1:].encode(), bytes(1 << 20), TEXT.upper().encode()) == set()


def test_a_canary_that_is_encrypted_or_lies_in_pieces_is_not_found():
    """What the search cannot: a reader of its results has to know."""
    assert found(bytes(byte ^ 0x55 for byte in TEXT.encode())) == set()
    assert found(b'"delta":"kw9vv"', b'"delta":"\xc3\xa9\\"hcsnc"') == set()


def test_another_canary_is_another():
    other = new_canary()
    assert found(other.text.encode()) == set()
    assert found(other.text.encode(), needles=other.needles()) == {"utf-8"}


def test_no_form_hides_in_another():
    # Else a hit in one would be reported as both, and the two notations of one file as two leaks.
    for form, needle in NEEDLES.items():
        inside = {other for other, longer in NEEDLES.items() if needle in longer and needle != longer}
        assert inside == set(), form


def test_canaries_do_not_repeat():
    assert len({new_canary().text for _ in range(1000)}) == 1000


@pytest.mark.parametrize("needles", [{}, {"empty": b""}, {"zeros": bytes(8)}, {"good": b"x", "empty": b""}])
def test_a_search_for_nothing_is_an_error(needles):
    with pytest.raises(ValueError, match="nothing to search for"):
        next(search([b"x"], needles))


@pytest.mark.parametrize("canary", [Canary("short"), new_canary().with_tokens([1, 2, 3, 4])])
def test_a_needle_that_chance_would_find_is_an_error(canary):
    with pytest.raises(ValueError, match="too short"):
        canary.needles()
