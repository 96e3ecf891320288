"""Writing GPT disks as plain files: no loop device, no partitioning tool, every byte given by the inputs."""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError

SECTOR = 512
_ALIGNMENT = 2048  # sectors: 1 MiB
_ENTRIES = 128
_ENTRY_SIZE = 128
_TABLE_SECTORS = _ENTRIES * _ENTRY_SIZE // SECTOR
_FIRST_USABLE = 2 + _TABLE_SECTORS
_HEADER_SIZE = 92
_NAME_LENGTH = 36
_COPY = 1 << 20

ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
# Plain data on purpose: the type ids of roots and verity trees wake software that mounts what it finds.
DATA_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition's contents and labels."""

    name: str
    type_id: str
    unique_id: str
    contents: Path


@dataclass(frozen=True, slots=True)
class _Placed:
    """A partition and where it lies, in sectors, both ends included."""

    partition: Partition
    first: int
    last: int


def write_disk(path: Path, disk_id: str, partitions: Sequence[Partition]) -> None:
    """Write a GPT disk with these partitions in order, each aligned to 1 MiB.

    Raises:
        BakeError: a bad label, an empty partition, or the disk is full.
    """
    placed = _place(partitions)
    last = (placed[-1].last // _ALIGNMENT + 1) * _ALIGNMENT + _ALIGNMENT - 1
    table = b"".join(_entry(item) for item in placed).ljust(_ENTRIES * _ENTRY_SIZE, b"\0")
    try:
        with path.open("wb") as disk:
            disk.truncate((last + 1) * SECTOR)
            _write_at(disk.fileno(), 0, _protective_mbr(last))
            _write_at(disk.fileno(), 1, _header(1, last, 2, disk_id, table) + table)
            _write_at(disk.fileno(), last - _TABLE_SECTORS, table)
            _write_at(disk.fileno(), last, _header(last, 1, last - _TABLE_SECTORS, disk_id, table))
            for item in placed:
                _copy(item, disk.fileno())
    except OSError as error:
        raise BakeError(f"writing {path.name}: {error.strerror}; free some space and run it again") from error


def _place(partitions: Sequence[Partition]) -> list[_Placed]:
    placed: list[_Placed] = []
    start = _ALIGNMENT
    for partition in partitions:
        size = partition.contents.stat().st_size
        if size == 0 or not 0 < len(partition.name) <= _NAME_LENGTH:
            raise BakeError(f"partition {partition.name!r}: empty, or its name is not 1 to {_NAME_LENGTH} characters")
        sectors = -(-size // SECTOR)
        placed.append(_Placed(partition, start, start + sectors - 1))
        start = -(-(start + sectors) // _ALIGNMENT) * _ALIGNMENT
    if not placed or len(placed) > _ENTRIES:
        raise BakeError(f"a disk takes 1 to {_ENTRIES} partitions, got {len(placed)}")
    return placed


def _entry(item: _Placed) -> bytes:
    part = item.partition
    return struct.pack(
        "<16s16sQQQ72s",
        uuid.UUID(part.type_id).bytes_le,
        uuid.UUID(part.unique_id).bytes_le,
        item.first,
        item.last,
        0,
        part.name.encode("utf-16-le"),
    )


def _header(here: int, other: int, table_at: int, disk_id: str, table: bytes) -> bytes:
    last = max(here, other)
    fields = (
        *(b"EFI PART", 0x00010000, _HEADER_SIZE, 0, 0, here, other),
        *(_FIRST_USABLE, last - _TABLE_SECTORS - 1, uuid.UUID(disk_id).bytes_le),
        *(table_at, _ENTRIES, _ENTRY_SIZE, zlib.crc32(table)),
    )
    bare = struct.pack("<8sIIIIQQQQ16sQIII", *fields)
    checksum = struct.pack("<I", zlib.crc32(bare))
    return (bare[:16] + checksum + bare[20:]).ljust(SECTOR, b"\0")


def _protective_mbr(last: int) -> bytes:
    entry = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, min(last, 0xFFFFFFFF))
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def _copy(item: _Placed, disk: int) -> None:
    offset = item.first * SECTOR
    with item.partition.contents.open("rb") as source:
        while block := source.read(_COPY):
            # Holes stay holes: most of an EFI system partition is zeros.
            if block.count(0) != len(block):
                os.pwrite(disk, block, offset)
            offset += len(block)


def _write_at(disk: int, sector: int, data: bytes) -> None:
    os.pwrite(disk, data, sector * SECTOR)
