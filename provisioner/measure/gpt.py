"""GUID partition tables: the partitions, and the bytes that firmware measures."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from provisioner.errors import MeasureError
from provisioner.measure.window import Window

SECTOR = 512
_HEADER_SIZE = 92
_ENTRY_SIZE = 128
_MAX_ENTRIES = 128


@dataclass(frozen=True, slots=True)
class Partition:
    """One used entry of the table."""

    name: str
    first_sector: int
    last_sector: int
    entry: bytes

    @property
    def offset(self) -> int:
        """Where it begins in the disk, in bytes."""
        return self.first_sector * SECTOR

    @property
    def size(self) -> int:
        """How long it is, in bytes."""
        return (self.last_sector - self.first_sector + 1) * SECTOR


@dataclass(frozen=True, slots=True)
class Table:
    """A primary GPT whose checksums hold. Nothing is said about what the partitions contain."""

    header: bytes
    partitions: tuple[Partition, ...]

    def event_data(self) -> bytes:
        """Return EFI_GPT_DATA: the header, the count of used entries, the used entries."""
        entries = b"".join(partition.entry for partition in self.partitions)
        return self.header + len(self.partitions).to_bytes(8, "little") + entries


def read_table(name: str, disk: BinaryIO) -> Table:
    """Read the primary table of a disk with 512-byte sectors.

    Raises:
        MeasureError: it is not there, is cut short, or a checksum does not hold; firmware would then fall back to the
            backup table, and the prediction would be of another disk.
    """
    header = Window(f"{name}: GPT header", _read(disk, SECTOR, SECTOR))
    _check_header(header)
    count = header.number(80, 4)
    raw = _read(disk, header.number(72, 8) * SECTOR, count * _ENTRY_SIZE)
    entries = Window(f"{name}: GPT entries", raw)
    entries.take(0, count * _ENTRY_SIZE)
    if zlib.crc32(raw) != header.number(88, 4):
        raise MeasureError(f"{name}: the checksum of the GPT entries does not hold")
    slots = (entries.take(index * _ENTRY_SIZE, _ENTRY_SIZE) for index in range(count))
    partitions = tuple(_partition(name, header, slot) for slot in slots if any(slot[:16]))
    return Table(header.take(0, _HEADER_SIZE), partitions)


def find_partition(table: Table, name: str) -> Partition:
    """Return the one partition of that name; for whoever looks into a disk, the prediction takes them by order.

    Raises:
        MeasureError: there is none, or more than one.
    """
    found = [partition for partition in table.partitions if partition.name == name]
    if len(found) != 1:
        raise MeasureError(f"{len(found)} partitions named {name}, exactly one is needed")
    return found[0]


def _read(disk: BinaryIO, offset: int, size: int) -> bytes:
    try:
        disk.seek(offset)
        return disk.read(size)
    except (OSError, ValueError, OverflowError) as error:
        raise MeasureError(f"cannot read {size} bytes at {offset:#x} of the disk: {error}") from error


def _check_header(header: Window) -> None:
    if header.take(0, 8) != b"EFI PART":
        raise MeasureError(f"{header.name}: there is none (no EFI PART in sector 1)")
    if header.number(12, 4) != _HEADER_SIZE:
        raise MeasureError(f"{header.name}: {header.number(12, 4)} bytes long, expected {_HEADER_SIZE}")
    zeroed = header.take(0, 16) + bytes(4) + header.take(20, _HEADER_SIZE - 20)
    if zlib.crc32(zeroed) != header.number(16, 4):
        raise MeasureError(f"{header.name}: its checksum does not hold")
    if header.number(24, 8) != 1:
        raise MeasureError(f"{header.name}: it says that it lies in sector {header.number(24, 8)}, not 1")
    if header.number(84, 4) != _ENTRY_SIZE or not 0 < header.number(80, 4) <= _MAX_ENTRIES:
        raise MeasureError(f"{header.name}: expected at most {_MAX_ENTRIES} entries of {_ENTRY_SIZE} bytes")


def _partition(name: str, header: Window, entry: bytes) -> Partition:
    window = Window(f"{name}: GPT entry", entry)
    first, last = window.number(32, 8), window.number(40, 8)
    if not header.number(40, 8) <= first <= last <= header.number(48, 8):
        raise MeasureError(f"{name}: a partition reaches from sector {first} to {last}, outside the disk")
    try:
        label = entry[56:].decode("utf-16-le").split("\0", 1)[0]
    except UnicodeDecodeError as error:
        raise MeasureError(f"{name}: a partition's name is not UTF-16") from error
    return Partition(label, first, last, entry)
