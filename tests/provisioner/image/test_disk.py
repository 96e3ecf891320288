"""GPT disks: structure as the specification has it, equal bytes for equal inputs, and refused inputs."""

from __future__ import annotations

import struct
import uuid
import zlib

import pytest

from provisioner.errors import BakeError
from provisioner.image import disk

ID = "01234567-89ab-8def-8123-456789abcdef"


def partitions(tmp_path, *sizes, names=("one", "two", "three")):
    made = []
    for name, size in zip(names, sizes, strict=False):
        path = tmp_path / f"{name}.part"
        path.write_bytes((name.encode() * size)[:size])
        made.append(disk.Partition(name, disk.DATA_TYPE, ID, path))
    return made


def header(data, sector):
    fields = struct.unpack_from("<8sIIIIQQQQ16sQIII", data, sector * 512)
    names = "signature revision size crc reserved here other first last guid table count entry table_crc"
    return dict(zip(names.split(), fields, strict=True))


def written(tmp_path, *sizes):
    disk.write_disk(tmp_path / "disk.raw", ID, partitions(tmp_path, *sizes))
    return (tmp_path / "disk.raw").read_bytes()


def test_both_headers_point_at_each_other_and_their_checksums_hold(tmp_path):
    data = written(tmp_path, 5000, 3 << 20)
    last = len(data) // 512 - 1
    for sector, other in ((1, last), (last, 1)):
        found = header(data, sector)
        assert (found["signature"], found["here"], found["other"]) == (b"EFI PART", sector, other)
        assert (found["first"], found["last"], found["count"]) == (34, last - 33, 128)
        raw = bytearray(data[sector * 512 : sector * 512 + 92])
        raw[16:20] = bytes(4)
        assert zlib.crc32(raw) == found["crc"]
        table = data[found["table"] * 512 :][: 128 * 128]
        assert zlib.crc32(table) == found["table_crc"]
        assert uuid.UUID(bytes_le=found["guid"]) == uuid.UUID(ID)


def test_contents_lie_where_the_entries_say_each_aligned(tmp_path):
    data = written(tmp_path, 5000, 3 << 20, 1)
    for index, (name, size) in enumerate((("one", 5000), ("two", 3 << 20), ("three", 1))):
        entry = struct.unpack_from("<16s16sQQQ72s", data, 1024 + 128 * index)
        assert uuid.UUID(bytes_le=entry[0]) == uuid.UUID(disk.DATA_TYPE)
        assert entry[2] % 2048 == 0
        assert entry[3] - entry[2] + 1 == -(-size // 512)
        assert entry[5].decode("utf-16-le").rstrip("\0") == name
        assert data[entry[2] * 512 :][:size] == (name.encode() * size)[:size]
    assert data[1024 + 128 * 3 :][:128] == bytes(128)


def test_the_protective_record_covers_the_disk(tmp_path):
    data = written(tmp_path, 5000)
    assert data[510:512] == b"\x55\xaa"
    assert struct.unpack_from("<B3sB3sII", data, 446)[2:] == (0xEE, b"\xff\xff\xff", 1, len(data) // 512 - 1)
    assert data[462:510] == bytes(48)


def test_equal_inputs_give_equal_disks_over_an_older_one(tmp_path):
    first = written(tmp_path, 5000, 9000)
    (tmp_path / "disk.raw").write_bytes(b"\xff" * (len(first) + 4096))
    assert written(tmp_path, 5000, 9000) == first


def test_a_partition_of_zeros_is_a_hole_that_reads_as_zeros(tmp_path):
    zeros = tmp_path / "zeros"
    zeros.write_bytes(bytes(8 << 20))
    disk.write_disk(tmp_path / "disk.raw", ID, [disk.Partition("zeros", disk.DATA_TYPE, ID, zeros)])
    assert (tmp_path / "disk.raw").stat().st_blocks * 512 < 1 << 20
    assert (tmp_path / "disk.raw").read_bytes()[1 << 20 : 9 << 20] == bytes(8 << 20)


def test_an_empty_partition_is_refused(tmp_path):
    with pytest.raises(BakeError, match="'one': empty"):
        written(tmp_path, 0)


@pytest.mark.parametrize("name", ["", "x" * 37])
def test_a_bad_label_is_refused(tmp_path, name):
    (part,) = partitions(tmp_path, 10)
    bad = disk.Partition(name, part.type_id, part.unique_id, part.contents)
    with pytest.raises(BakeError, match="not 1 to 36 characters"):
        disk.write_disk(tmp_path / "disk.raw", ID, [bad])


def test_a_disk_without_partitions_is_refused(tmp_path):
    with pytest.raises(BakeError, match="got 0"):
        disk.write_disk(tmp_path / "disk.raw", ID, [])


def test_more_partitions_than_the_table_holds_are_refused(tmp_path):
    (part,) = partitions(tmp_path, 10)
    with pytest.raises(BakeError, match="got 129"):
        disk.write_disk(tmp_path / "disk.raw", ID, [part] * 129)


def test_a_full_disk_is_a_typed_error(tmp_path):
    with pytest.raises(BakeError, match="No space left on device; free some space"):
        disk.write_disk(FullDevice(), ID, partitions(tmp_path, 10))


class FullDevice:
    """A path whose file system is full."""

    name = "disk.raw"

    def open(self, _mode):
        raise OSError(28, "No space left on device")
