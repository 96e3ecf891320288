"""The UKI: what we change in objcopy's output, and stubs that we do not accept."""

from __future__ import annotations

import struct

import pytest

from provisioner.errors import BakeError
from provisioner.image import uki

PE = 0x80


def stub(*, sections=((0x1000, 0x500), (0x2000, 0x10)), alignment=4096, base=0x14DF90000):
    """Write the headers of a PE32+ image that hold what we read."""
    image = bytearray(0x400)
    image[:2] = b"MZ"
    struct.pack_into("<I", image, 0x3C, PE)
    image[PE : PE + 4] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", image, PE + 4, 0x8664, len(sections), 0x5EADBEEF, 0, 0, 240, 0)
    struct.pack_into("<QI", image, PE + 24 + 24, base, alignment)
    struct.pack_into("<I", image, PE + 24 + 64, 0xC0FFEE)
    for index, (address, size) in enumerate(sections):
        struct.pack_into("<8sII", image, PE + 24 + 240 + 40 * index, b".text", size, address)
    return bytes(image)


def test_time_stamp_and_checksum_are_zeroed_and_nothing_else():
    before = stub()
    after = uki.without_time(before)
    different = [index for index in range(len(before)) if before[index] != after[index]]
    stamp, checksum = range(PE + 8, PE + 12), range(PE + 24 + 64, PE + 24 + 68)
    assert set(different) <= {*stamp, *checksum}
    assert not any(after[index] for index in (*stamp, *checksum))


def test_sections_go_behind_the_last_of_the_stub_whatever_their_order():
    layout = uki._layout(stub(sections=((0x5000, 0x1001), (0x2000, 0x10))))
    assert (layout.base, layout.end) == (0x14DF90000, 0x7000)


@pytest.mark.parametrize(
    "image",
    [b"", b"MZ", b"\x7fELF" + bytes(100), b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(0x200), stub()[: PE + 100]],
    ids=["empty", "short", "ELF", "no PE", "cut"],
)
def test_what_is_no_pe_image_is_refused(image):
    with pytest.raises(BakeError, match="not a PE image"):
        uki._layout(image)


@pytest.mark.parametrize("wrong", [{"sections": ()}, {"alignment": 0}, {"alignment": 4095}])
def test_a_stub_that_we_do_not_know_is_refused(wrong):
    with pytest.raises(BakeError, match="no sections or a strange alignment"):
        uki._layout(stub(**wrong))
