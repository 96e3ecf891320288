"""Encodings have one reading each (rules F1, F2, F3)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.encoding import canonical_json, from_base64, from_hex, lp, strict_json, to_base64
from client_sdk.errors import EvidenceError


def test_json_round_trip():
    value = {"b": [1, None, True, "é"], "a": {"x": '\\"[[['}}
    assert strict_json(canonical_json(value)) == value
    assert canonical_json(value) == '{"a":{"x":"\\\\\\"[[["},"b":[1,null,true,"é"]}'.encode()


@pytest.mark.parametrize(
    ("attack", "data", "message"),
    [
        ("duplicate key", b'{"a":1,"a":2}', "appears twice"),
        ("duplicate key, nested", b'{"a":{"b":1,"b":1}}', "appears twice"),
        ("duplicate key, escaped", b'{"a":1,"\\u0061":2}', "appears twice"),
        ("NaN", b'{"a":NaN}', "floating-point"),
        ("infinity", b"[-Infinity]", "floating-point"),
        ("float", b"[1.0]", "floating-point"),
        ("exponent", b"[1e3]", "floating-point"),
        ("byte-order mark", b"\xef\xbb\xbf{}", "not JSON"),
        ("UTF-16", '{"a":1}'.encode("utf-16"), "not UTF-8"),
        ("trailing data", b"{} {}", "Extra data"),
        ("empty", b"", "not JSON"),
        ("huge integer", b"[" + b"9" * 5000 + b"]", "5000 digits"),
        ("deep nesting", b"[" * 60_000, "nested deeper"),
        ("millions of values", b"[" + b"{}," * 100_000 + b"{}]", "more than 65536 values"),
        ("deep nesting behind a string", b'["\\"",' + b"[" * 100, "nested deeper"),
        ("control character in a string", b'["\x01"]', "control character"),
        ("broken UTF-8", b'["\xff"]', "not UTF-8"),
    ],
)
def test_json_with_two_readings_is_refused(attack, data, message):
    with pytest.raises(EvidenceError, match=message):
        strict_json(data)


@pytest.mark.parametrize("tail", [b"", b"\\", b"\\\\"])
def test_a_string_that_never_ends_is_refused_in_one_pass(tail):
    begun = time.process_time()
    with pytest.raises(EvidenceError, match="Unterminated string"):
        strict_json(b'"' + b'\\"' * 1_500_000 + tail)
    # A quadratic reader takes hours for it: this is no measurement of speed.
    assert time.process_time() - begun < 60


def test_what_a_peer_says_cannot_command_a_terminal():
    with pytest.raises(EvidenceError) as caught:
        strict_json(b'{"\x1b[2Jaccepted":1,"\x1b[2Jaccepted":2}'.replace(b"\x1b", b"\\u001b"))
    assert "\x1b" not in str(caught.value)
    assert r"\x1b[2Jaccepted" in str(caught.value)


def test_json_over_the_limit_is_not_parsed():
    with pytest.raises(EvidenceError, match="over the limit of 10"):
        strict_json(b'"0123456789"', limit=10)


def test_brackets_in_strings_are_not_nesting():
    assert strict_json(b'["' + b"[" * 1000 + b'"]') == ["[" * 1000]


def test_floats_are_not_written():
    with pytest.raises(EvidenceError, match=r"\$\.a\[1\]"):
        canonical_json({"a": [1, 2.0]})


@pytest.mark.parametrize("text", ["AB", "a", "0x00", "zz", " 00", "00\n", None, 7, b"00", "é0"])
def test_hex_that_is_not_lower_case_hex_is_refused(text):
    with pytest.raises(EvidenceError, match="field: not lower-case hex"):
        from_hex(text, "field")


def test_hex_of_another_size_is_refused():
    with pytest.raises(EvidenceError, match="expected 32 bytes of hex, got 31"):
        from_hex("00" * 31, "field", size=32)


@pytest.mark.parametrize(
    ("attack", "text"),
    [
        ("no padding", "AA"),
        ("spare bits set", "AB=="),
        ("URL alphabet", "-_-_"),
        ("newline", "AAAA\n"),
        ("space", "AA AA"),
        ("padding inside", "AA==AA=="),
        ("non-ASCII", "AAé="),
        ("not a string", None),
    ],
)
def test_base64_that_is_not_canonical_is_refused(attack, text):
    with pytest.raises(EvidenceError, match="field"):
        from_base64(text, "field")


def test_base64_over_the_limit_is_refused():
    with pytest.raises(EvidenceError, match="field"):
        from_base64(to_base64(bytes(11)), "field", limit=10)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200))
def test_base64_has_one_text_for_each_value(data):
    assert from_base64(to_base64(data), "field") == data


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_in_our_error(data):
    try:
        strict_json(data)
    except EvidenceError:
        pass


def test_length_prefixes_keep_parts_apart():
    assert lp(b"ab") + lp(b"c") != lp(b"a") + lp(b"bc")
    assert lp(b"abc") == b"\x00\x00\x00\x03abc"
