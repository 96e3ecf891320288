import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.errors import MeasureError
from provisioner.measure.pe import authenticode, parse_image, section
from tests.provisioner.measure.fake_artefacts import CHECKSUM, DIRECTORY, HEADERS, OPTIONAL, pe_image, uki_image

SECTIONS = OPTIONAL + 240
IMAGE = pe_image({".text": b"t" * 700, ".data": b"d" * 10})


def edited(image, offset, value):
    return image[:offset] + value + image[offset + len(value) :]


def digest(image):
    return authenticode(parse_image("x.efi", image))


def test_the_digest_is_of_all_but_checksum_and_certificates():
    parts = (IMAGE[:CHECKSUM], IMAGE[CHECKSUM + 4 : DIRECTORY], IMAGE[DIRECTORY + 8 :])
    assert digest(IMAGE) == hashlib.sha256(b"".join(parts)).digest()


def test_a_signature_does_not_change_the_digest():
    assert digest(pe_image({".text": b"t"}, certificates=b"c" * 16)) == digest(pe_image({".text": b"t"}))


def test_bytes_after_the_last_section_change_the_digest():
    assert digest(IMAGE + b"tail") != digest(IMAGE)


def test_sections_are_hashed_in_the_order_of_the_file_not_of_the_table():
    first, second = IMAGE[SECTIONS : SECTIONS + 40], IMAGE[SECTIONS + 40 : SECTIONS + 80]
    swapped = edited(IMAGE, SECTIONS, second + first)
    bodies = IMAGE[HEADERS:]
    headers = swapped[:CHECKSUM] + swapped[CHECKSUM + 4 : DIRECTORY] + swapped[DIRECTORY + 8 : HEADERS]
    assert digest(swapped) == hashlib.sha256(headers + bodies).digest()


def test_every_single_byte_counts_or_breaks_the_image():
    expected = digest(IMAGE)
    ignored = {*range(CHECKSUM, CHECKSUM + 4), *range(DIRECTORY, DIRECTORY + 8)}
    for offset in range(len(IMAGE)):
        try:
            seen = digest(edited(IMAGE, offset, bytes([IMAGE[offset] ^ 1])))
        except MeasureError:
            continue
        assert (seen == expected) == (offset in ignored), hex(offset)


def test_a_section_is_cut_to_its_virtual_size_and_padded_with_zeros():
    assert section(parse_image("x", IMAGE), ".data") == b"d" * 10
    longer = edited(IMAGE, SECTIONS + 40 + 8, struct.pack("<I", 0x300))
    assert section(parse_image("x", longer), ".data") == (b"d" * 10).ljust(0x300, b"\0")


FAULTS = {
    "is empty": (b"", "ends at"),
    "is not MZ": (edited(IMAGE, 0, b"ZM"), "no MZ"),
    "has no PE signature": (edited(IMAGE, 0x40, b"PX"), "no PE signature"),
    "puts the PE header outside": (edited(IMAGE, 0x3C, b"\xff\xff\xff\xff"), "ends at"),
    "is PE32": (edited(IMAGE, OPTIONAL, b"\x0b\x01"), r"not PE32\+"),
    "has no sections": (edited(IMAGE, OPTIONAL - 18, b"\0\0"), "0 sections"),
    "has 65535 sections": (edited(IMAGE, OPTIONAL - 18, b"\xff\xff"), "65535 sections"),
    "puts the table over the directories": (edited(IMAGE, OPTIONAL - 4, b"\0\0"), "section table"),
    "puts the table outside the headers": (edited(IMAGE, OPTIONAL - 4, b"\xff\x03"), "section table"),
    "has headers larger than the file": (edited(IMAGE, OPTIONAL + 60, b"\xff\xff\xff\x7f"), "ends at"),
    "has headers that end too early": (edited(IMAGE, OPTIONAL + 60, b"\x10\0\0\0"), "data directories"),
    "has a section outside the file": (edited(IMAGE, SECTIONS + 20, b"\0\0\0\x7f"), "ends at"),
    "has a section over the headers": (edited(IMAGE, SECTIONS + 20, b"\0\x01\0\0"), "overlaps"),
    "has two sections at one place": (
        edited(IMAGE, SECTIONS + 60, IMAGE[SECTIONS + 20 : SECTIONS + 24]), "overlaps"),
    "has a section of 4 GiB of memory": (edited(IMAGE, SECTIONS + 8, b"\xff\xff\xff\xff"), "bytes of memory"),
    "has a name that is not ASCII": (edited(IMAGE, SECTIONS, b"\xff"), "unreadable section name"),
    "has a name with a hole": (edited(IMAGE, SECTIONS + 2, b"\0"), "unreadable section name"),
    "has few directories": (edited(IMAGE, OPTIONAL + 108, b"\x04\0\0\0"), "certificate table"),
    "has certificates in a section": (edited(IMAGE, DIRECTORY, struct.pack("<II", HEADERS, 8)), "does not end"),
    "has certificates outside": (edited(IMAGE, DIRECTORY, struct.pack("<II", len(IMAGE), 8)), "does not end"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_image(fault):
    image, words = FAULTS[fault]
    with pytest.raises(MeasureError, match=words):
        parse_image("x.efi", image)


def test_every_truncation_is_refused():
    for size in range(len(IMAGE)):
        with pytest.raises(MeasureError):
            parse_image("x.efi", IMAGE[:size])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, HEADERS - 1), st.binary(min_size=1, max_size=8)), max_size=6))
def test_mutations_end_in_a_digest_or_a_typed_error(edits):
    image = uki_image()
    for offset, value in edits:
        image = edited(image, offset, value)
    try:
        assert len(digest(image)) == 32
    except MeasureError as error:
        assert "x.efi" in str(error)  # noqa: PT017


@pytest.mark.parametrize("names", [[], [".other"], [".linux", ".linux"]])
def test_a_section_has_to_be_there_once(names):
    image = parse_image("x.efi", pe_image([(".text", b"t"), *[(name, b"x") for name in names]]))
    with pytest.raises(MeasureError, match=r"sections named \.linux, exactly one is needed"):
        section(image, ".linux")
