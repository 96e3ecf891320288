"""The signed UKI in the EFI system partition: longer, in the same place, and nothing else changed."""

from __future__ import annotations

import io
import struct

import pytest

from provisioner.errors import MeasureError
from provisioner.secure_boot.esp import replace_uki
from tests.provisioner.secure_boot import fat

UNSIGNED = b"unsigned".ljust(10 * fat.SECTOR, b"u")
SIGNED = b"signed".ljust(10 * fat.SECTOR, b"s") + b"signature" * 100
OFFSET = 4096


def replaced(made, signed=SIGNED):
    disk = io.BytesIO(bytes(OFFSET) + bytes(made) + b"behind")
    replace_uki(disk, OFFSET, signed)
    after = disk.getvalue()
    assert (after[:OFFSET], after[-6:]) == (bytes(OFFSET), b"behind")
    return after[OFFSET:-6]


def refused(made, message, signed=SIGNED):
    disk = io.BytesIO(bytes(OFFSET) + bytes(made))
    before = disk.getvalue()
    with pytest.raises(MeasureError, match=message):
        replace_uki(disk, OFFSET, signed)
    assert disk.getvalue() == before  # a disk that is refused is not half changed


def test_a_reader_finds_the_signed_file():
    after = replaced(fat.volume(UNSIGNED))
    assert fat.read(after) == SIGNED
    first, second = fat.tables(after)
    assert first == second


def test_free_clusters_stay_counted():
    before = fat.volume(UNSIGNED)
    counted, last = fat.free(before)
    assert fat.free(replaced(before)) == (counted - 2, last + 2)


def test_nothing_but_the_file_its_chain_and_the_count_changes():
    before, after = fat.volume(UNSIGNED), replaced(fat.volume(UNSIGNED))
    places = range(0, len(after), fat.SECTOR)
    sectors = [at // fat.SECTOR for at in places if before[at : at + fat.SECTOR] != after[at : at + fat.SECTOR]]
    file = range(fat.DATA // 512 + fat.FIRST - 2, fat.DATA // 512 + fat.FIRST - 2 + 12)
    folder = fat.DATA // 512 + fat.BOOT - 2
    assert set(sectors) <= {1, fat.RESERVED, fat.RESERVED + fat.TABLE_SECTORS, folder, *file}


def test_a_signature_that_fits_into_the_last_cluster():
    unsigned, signed = b"u" * (3 * 512 - 100), b"s" * (3 * 512 - 4)
    assert fat.read(replaced(fat.volume(unsigned), signed)) == signed


@pytest.mark.parametrize(
    ("fault", "made", "message"),
    [
        ("no FAT32", bytearray(len(fat.volume(UNSIGNED))), "not FAT32"),
        ("a file in pieces", fat.volume(UNSIGNED, chain=[5, 6, 7, 8, 9, 20, 21, 22, 23, 24]), "in one piece"),
        ("a file in its place", fat.volume(UNSIGNED, taken=(15,)), "no room behind the UKI"),
        ("a file one cluster on", fat.volume(UNSIGNED, taken=(16,)), "no room behind the UKI"),
    ],
)
def test_a_partition_that_is_not_as_a_bake_leaves_it(fault, made, message):
    refused(made, message)
    assert fault


def test_no_room_at_the_end_of_the_volume():
    last = fat.CLUSTERS + 1
    refused(fat.volume(UNSIGNED, chain=list(range(last - 9, last + 1))), "no room behind the UKI")


def test_a_partition_without_the_file():
    made = fat.volume(UNSIGNED)
    fat.put(made, fat.BOOT, fat.entry(b"OTHER   EFI", 5, 100))
    refused(made, r"BOOTX64\.EFI: it is not there")


def test_a_chain_that_never_ends():
    made = fat.volume(UNSIGNED)
    for place in (fat.RESERVED, fat.RESERVED + fat.TABLE_SECTORS):
        struct.pack_into("<I", made, place * 512 + 4 * 14, 5)
    refused(made, "chain of clusters is broken")


def test_a_chain_that_leaves_the_table():
    made = fat.volume(UNSIGNED)
    struct.pack_into("<I", made, fat.RESERVED * 512 + 4 * 14, 0x0FFFFFF0)
    refused(made, "ESP: FAT")


def test_a_size_that_the_chain_does_not_have():
    made = fat.volume(UNSIGNED)
    fat.put(made, fat.BOOT, fat.entry(b"BOOTX64 EFI", 5, 100))
    refused(made, "in one piece")


def test_a_file_that_became_shorter():
    refused(fat.volume(UNSIGNED), "shorter", b"s" * 512)


def test_a_volume_without_a_count():
    made = fat.volume(UNSIGNED)
    made[512:1024] = bytes(512)
    refused(made, "no FSInfo sector")


def test_a_volume_that_is_cut_short():
    refused(fat.volume(UNSIGNED)[: fat.DATA - 512], "ESP")
