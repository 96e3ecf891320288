"""Protocol buffers have one reading here: what Google's library writes is read, everything odd is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError
from provisioner.endorsement.wire import BYTES, MAX_REPEATED, VARINT, Field, parse_message
from tests.fakes.simulated_endorsement import count, messages, part, varint

SCHEMA = {
    1: Field("number", VARINT, (1 << 32) - 1),
    2: Field("part", BYTES, 100),
    3: Field("parts", BYTES, 100, repeated=True),
    4: Field("big", VARINT, (1 << 64) - 1),
}
bounded = settings(max_examples=200, derandomize=True, deadline=None, database=None)


def read(data):
    return parse_message(data, SCHEMA, "message")


def test_every_field_is_read():
    found = read(count(1, 300) + part(2, b"one") + part(3, b"") + part(3, b"two") + count(4, 1 << 63))
    assert dict(found.numbers) == {"number": 300, "big": 1 << 63}
    assert dict(found.parts) == {"part": (b"one",), "parts": (b"", b"two")}
    assert found.unread == ()


def test_fields_may_stand_in_any_order():
    assert read(part(2, b"one") + count(1, 3)) == read(count(1, 3) + part(2, b"one"))


def test_what_is_not_there_is_nothing():
    found = read(b"")
    assert (found.number("number"), found.part("part"), found.parts.get("parts")) == (0, b"", None)


def test_fields_that_the_schema_does_not_have_are_stepped_over_and_told():
    more = count(9, 1 << 63) + part(8, bytes(500)) + varint(7 << 3 | 1) + bytes(8) + varint(6 << 3 | 5) + bytes(4)
    found = read(more + count(1, 3) + count(9, 1))
    assert (found.number("number"), found.unread) == (3, (6, 7, 8, 9))


REFUSED = [
    ("a number where bytes belong", count(2, 3), "part has wire type 0 in place of 2"),
    ("bytes where a number belongs", part(1, b"\3"), "number has wire type 2 in place of 0"),
    ("a fixed number where a number belongs", varint(1 << 3 | 5) + bytes(4), "wire type 5 in place of 0"),
    ("a number twice", count(1, 3) + count(1, 3), "number stands twice"),
    ("a part twice: libraries take the last", part(2, b"a") + part(2, b"b"), "part stands more than 1 times"),
    ("more repeated parts than anybody writes", part(3, b"") * (MAX_REPEATED + 1), "more than 1024 times"),
    ("a number over the field's: libraries cut it", count(1, 1 << 32), "over the limit"),
    ("a number of 65 bits", b"\x20" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
    ("a number of 11 bytes", b"\x20" + b"\x80" * 10 + b"\x01", "more than 10 bytes"),
    ("a number that never ends", b"\x08\x80", "1 bytes are needed, 0 are left"),
    ("a number that is longer than it need be", b"\x08\x83\x00", "shortest form"),
    ("a length that is longer than it need be", b"\x12\x81\x00a", "shortest form"),
    ("a tag that is longer than it need be", b"\x88\x00\x03", "shortest form"),
    ("a tag and nothing behind it", b"\x08", "are needed"),
    ("a length over the field's", part(2, bytes(101)), "part of 101 bytes is over the limit of 100"),
    ("a length over the message's end", b"\x12\x05abcd", "5 bytes are needed, 4 are left"),
    ("a length of 2**63", b"\x12" + varint(1 << 63), "over the limit"),
    ("a length of 2**63 of a field that is not known", b"\x4a" + varint(1 << 63) + b"a", "are needed"),
    ("field number 0", b"\x00\x01", "field number 0 cannot be"),
    ("a field number of 30 bits", varint(1 << 32) + b"\x01", "cannot be"),
    ("the beginning of a group", varint(9 << 3 | 3) + varint(9 << 3 | 4), "wire type 3 is not known"),
    ("the end of a group", varint(9 << 3 | 4), "wire type 4 is not known"),
    ("wire type 6", varint(9 << 3 | 6) + b"\x01", "wire type 6 is not known"),
    ("wire type 7", varint(9 << 3 | 7) + b"\x01", "wire type 7 is not known"),
    ("a fixed number of 64 bits, cut short", varint(9 << 3 | 1) + bytes(7), "8 bytes are needed, 7 are left"),
    ("a fixed number of 32 bits, cut short", varint(9 << 3 | 5) + bytes(3), "4 bytes are needed, 3 are left"),
]


@pytest.mark.parametrize(("attack", "data", "message"), REFUSED, ids=[attack for attack, _, _ in REFUSED])
def test_bytes_with_another_reading_are_refused(attack, data, message):
    with pytest.raises(EvidenceError, match=message) as caught:
        read(data)
    assert caught.value.where.startswith("message byte "), attack


def test_parts_have_the_sizes_that_are_asked_for():
    assert read(part(2, b"abc")).sized("part", 0, 3) == b"abc"
    with pytest.raises(EvidenceError, match=r"message\.part: expected 0 or 2 bytes, got 3"):
        read(part(2, b"abc")).sized("part", 0, 2)


@bounded
@given(st.integers(0, (1 << 32) - 1), st.booleans(), st.binary(max_size=48))
def test_what_googles_library_writes_is_what_is_read(size, early, mrtd):
    written = messages()["Measurement"](ram_gib=size, early_accept=early, mrtd=mrtd).SerializeToString()
    schema = {1: Field("g", VARINT, (1 << 32) - 1), 2: Field("e", VARINT, 1), 3: Field("m", BYTES, 48)}
    found = parse_message(written, schema, "message")
    assert (found.number("g"), found.number("e"), found.part("m")) == (size, early, mrtd)


@bounded
@given(st.binary(max_size=64))
def test_whatever_is_read_googles_library_reads_the_same(data):
    """The other way round: strictness never gives a second meaning to bytes that are taken."""
    schema = {1: Field("g", VARINT, (1 << 32) - 1), 2: Field("e", VARINT, 1), 3: Field("m", BYTES, 48)}
    try:
        found = parse_message(data, schema, "message")
    except EvidenceError:
        return
    theirs = messages()["Measurement"].FromString(data)
    ours = (found.number("g"), bool(found.number("e")), found.part("m"))
    assert ours == (theirs.ram_gib, theirs.early_accept, theirs.mrtd)
