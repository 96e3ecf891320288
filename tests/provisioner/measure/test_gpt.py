import base64
import hashlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.errors import MeasureError
from provisioner.measure.gpt import find_partition, read_table
from tests.provisioner.measure.fake_artefacts import gpt_disk, gpt_header, protective_mbr

DISK = gpt_disk([("esp", b"e" * 1024), ("vitrine-root", b"r" * 512)])
# EV_EFI_GPT_EVENT and its digest, from the log of a real boot with OVMF 2025.02 of a disk that sfdisk made.
RECORDED = base64.b64decode(
    "RUZJIFBBUlQAAAEAXAAAAJYY9NQAAAAAAQAAAAAAAAD/nwEAAAAAAAAIAAAAAAAA3p8BAAAAAAARERERERERERERERERERERAgAA"
    "AAAAAACAAAAAgAAAALOyc4sCAAAAAAAAAChzKsEf+NIRuksAoMk+yTsiIiIiIiIiIiIiIiIiIiIiAAgAAAAAAAD/hwEAAAAAAAAA"
    "AAAAAAAAZQBzAHAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAArz3GD4OEckeOeT1p2Ed95CIiIiIiIiIiIiIiIiIiIiMAiAEAAAAAAP+PAQAAAAAAAAAAAAAAAAB2AGkAdAByAGkAbgBlAC0A"
    "cgBvAG8AdAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)
RECORDED_DIGEST = "a69f418f23f7502a2c7177c4aa341f09266068eebc75b17cbdf31183277d10c6"


def table_of(disk):
    return read_table("boot.raw", io.BytesIO(disk))


def edited(disk, offset, value):
    return disk[:offset] + value + disk[offset + len(value) :]


def test_the_event_of_a_recorded_boot():
    entries = RECORDED[100:].ljust(128 * 128, b"\0")
    disk = protective_mbr() + RECORDED[:92].ljust(512, b"\0") + entries
    data = table_of(disk).event_data()
    assert data == RECORDED
    assert hashlib.sha256(data).hexdigest() == RECORDED_DIGEST


def test_partitions_are_found_by_name():
    table = table_of(DISK)
    root = find_partition(table, "vitrine-root")
    assert DISK[root.offset : root.offset + root.size] == b"r" * 512


@pytest.mark.parametrize("partitions", [[], [("esp", b"x"), ("esp", b"y")]])
def test_a_partition_has_to_be_there_once(partitions):
    disk = gpt_disk([("other", b"z"), *partitions])
    with pytest.raises(MeasureError, match="partitions named esp, exactly one is needed"):
        find_partition(table_of(disk), "esp")


ENTRIES = DISK[1024 : 1024 + 128 * 128]


def with_header(**changes):
    return edited(DISK, 512, gpt_header(ENTRIES, 36, **changes))


FAULTS = {
    "is empty": (b"", "ends at"),
    "has no table": (bytes(1 << 16), "no EFI PART"),
    "ends in the header": (DISK[:600], "ends at"),
    "ends in the entries": (DISK[:2000], "ends at"),
    "has a header edited": (edited(DISK, 512 + 56, b"\xff"), "its checksum does not hold"),
    "has an entry edited": (edited(DISK, 1024 + 60, b"X"), "checksum of the GPT entries"),
    "has a header of another size": (with_header(size=93), "93 bytes long"),
    "says it is elsewhere": (with_header(sector=2), "in sector 2, not 1"),
    "has entries of another size": (with_header(entry_size=256), "entries of 128 bytes"),
    "has no entries": (with_header(count=0), "at most 128 entries"),
    "has too many entries": (with_header(count=1 << 31), "at most 128 entries"),
    "has its entries outside": (with_header(entries_at=1 << 40), "ends at"),
    "has its entries beyond any file": (with_header(entries_at=(1 << 64) - 1), "cannot read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_table(fault):
    disk, words = FAULTS[fault]
    with pytest.raises(MeasureError, match=words):
        table_of(disk)


@pytest.mark.parametrize("span", [(1, 35), (34, 99), (36, 35), (0, (1 << 64) - 1)])
def test_a_partition_outside_the_disk(span):
    sectors = b"".join(number.to_bytes(8, "little") for number in span)
    entries = edited(ENTRIES, 32, sectors)
    disk = protective_mbr() + gpt_header(entries, 36) + entries
    with pytest.raises(MeasureError, match="outside the disk"):
        table_of(disk)


def test_a_name_that_is_not_utf_16():
    entries = edited(ENTRIES, 56, b"\x00\xdc")
    with pytest.raises(MeasureError, match="not UTF-16"):
        table_of(protective_mbr() + gpt_header(entries, 36) + entries)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(512, 1400), st.binary(min_size=1, max_size=8)), max_size=4))
def test_mutations_end_in_a_table_or_a_typed_error(edits):
    disk = DISK
    for offset, value in edits:
        disk = edited(disk, offset, value)
    try:
        table_of(disk)
    except MeasureError as error:
        assert "boot.raw" in str(error) or "disk" in str(error)  # noqa: PT017
