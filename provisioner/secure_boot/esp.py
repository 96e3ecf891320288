"""Putting a signed UKI into the EFI system partition in place of the unsigned one, without mounting anything.

The partition is our own (``provisioner/image/esp.py``): FAT32 with one file, in one piece, and free room behind it.
A longer file gets the clusters that follow; everything else of the partition stays byte for byte.

Source: Microsoft, "FAT: General Overview of On-Disk Format", 1.03.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from provisioner.errors import MeasureError
from provisioner.measure.window import Window

PATH = ("EFI", "BOOT", "BOOTX64.EFI")
_CHAIN_END, _CLUSTER_MASK, _FREE = 0x0FFFFFF8, 0x0FFFFFFF, 0
_ENTRY, _LONG_NAME, _DELETED = 32, 0x0F, 0xE5
_FS_INFO = (0x41615252, 0x61417272)


@dataclass(frozen=True, slots=True)
class _Fat:
    """Where things lie in the volume, in bytes from its start."""

    cluster: int
    tables: tuple[int, ...]
    table_size: int
    data: int
    root: int
    info: int
    clusters: int

    def place(self, cluster: int) -> int:
        return self.data + (cluster - 2) * self.cluster


def replace_uki(volume: BinaryIO, offset: int, signed: bytes) -> None:
    """Write ``signed`` over the file of the default boot path in the volume that begins at ``offset``.

    Raises:
        MeasureError: the volume is not as a bake leaves it, or has no room.
    """
    fat = _layout(_read(volume, offset, 512))
    table = Window("ESP: FAT", _read(volume, offset + fat.tables[0], fat.table_size))
    first, entry, size = _find(volume, offset, fat)
    chain = _chain(table, first)
    if chain != list(range(first, first + len(chain))) or len(chain) != -(-size // fat.cluster):
        raise MeasureError("ESP: the UKI does not lie in one piece; bake the image again")
    wanted = -(-len(signed) // fat.cluster)
    added = list(range(first + len(chain), first + wanted))
    if not added and wanted != len(chain):
        raise MeasureError("ESP: the signed UKI is shorter than the one that was baked; bake the image again")
    if added and (added[-1] >= fat.clusters + 2 or any(_entry_of(table, one) != _FREE for one in added)):
        raise MeasureError("ESP: no room behind the UKI for its signature; bake the image again")
    info = _info(volume, offset, fat)
    _write(volume, offset + fat.place(first), signed.ljust(wanted * fat.cluster, b"\0"))
    _write(volume, offset + entry + 28, len(signed).to_bytes(4, "little"))
    if added:
        _link(volume, offset, fat, [chain[-1], *added])
        free = (info.number(488, 4) - len(added)).to_bytes(4, "little")
        _write(volume, offset + fat.info + 488, free + added[-1].to_bytes(4, "little"))


def _layout(sector: bytes) -> _Fat:
    boot = Window("ESP: boot sector", sector)
    bytes_per, per_cluster, reserved = boot.number(11, 2), boot.number(13, 1), boot.number(14, 2)
    count, total, size = boot.number(16, 1), boot.number(32, 4), boot.number(36, 4)
    if boot.take(82, 8) != b"FAT32   " or bytes_per != 512 or not per_cluster or count != 2 or not size:
        raise MeasureError("ESP: not FAT32 as a bake makes it; bake the image again")
    data = (reserved + count * size) * bytes_per
    return _Fat(
        cluster=per_cluster * bytes_per,
        tables=tuple((reserved + index * size) * bytes_per for index in range(count)),
        table_size=size * bytes_per,
        data=data,
        root=boot.number(44, 4),
        info=boot.number(48, 2) * bytes_per,
        clusters=(total * bytes_per - data) // (per_cluster * bytes_per),
    )


def _find(volume: BinaryIO, offset: int, fat: _Fat) -> tuple[int, int, int]:
    """Return first cluster of the file, where its directory entry lies, and its size."""
    cluster, entry, size = fat.root, 0, 0
    for name in PATH:
        cluster, entry, size = _lookup(volume, offset, fat, cluster, name)
    return cluster, entry, size


def _lookup(volume: BinaryIO, offset: int, fat: _Fat, cluster: int, name: str) -> tuple[int, int, int]:
    """Look a name up in a folder, which has to fit into one cluster."""
    base, _, extension = name.partition(".")
    wanted = base.ljust(8).encode() + extension.ljust(3).encode()
    place = fat.place(cluster)
    folder = Window(f"ESP: folder with {name}", _read(volume, offset + place, fat.cluster))
    for index in range(0, fat.cluster, _ENTRY):
        if folder.take(index, 11) == wanted and folder.number(index + 11, 1) != _LONG_NAME:
            found = folder.number(index + 20, 2) << 16 | folder.number(index + 26, 2)
            return found, place + index, folder.number(index + 28, 4)
    raise MeasureError(f"{folder.name}: it is not there; bake the image again")


def _chain(table: Window, first: int) -> list[int]:
    chain = [first]
    while (following := _entry_of(table, chain[-1])) < _CHAIN_END:
        if following < 2 or len(chain) > len(table.data) // 4:
            raise MeasureError("ESP: the UKI's chain of clusters is broken; bake the image again")
        chain.append(following)
    return chain


def _entry_of(table: Window, cluster: int) -> int:
    return table.number(4 * cluster, 4) & _CLUSTER_MASK


def _link(volume: BinaryIO, offset: int, fat: _Fat, chain: list[int]) -> None:
    """Chain clusters to one another, and end the last, in both tables."""
    for table in fat.tables:
        for cluster, following in zip(chain, [*chain[1:], _CLUSTER_MASK], strict=True):
            _write(volume, offset + table + 4 * cluster, following.to_bytes(4, "little"))


def _info(volume: BinaryIO, offset: int, fat: _Fat) -> Window:
    """Return the sector with the count of free clusters and the last that was given: hints, which are kept true."""
    info = Window("ESP: FSInfo", _read(volume, offset + fat.info, 512))
    if (info.number(0, 4), info.number(484, 4)) != _FS_INFO:
        raise MeasureError("ESP: no FSInfo sector; bake the image again")
    return info


def _read(volume: BinaryIO, place: int, size: int) -> bytes:
    volume.seek(place)
    return volume.read(size)


def _write(volume: BinaryIO, place: int, data: bytes) -> None:
    volume.seek(place)
    volume.write(data)
