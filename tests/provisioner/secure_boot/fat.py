"""A FAT32 volume as a bake makes it, in a few hundred kilobytes: one file under the default boot path."""

from __future__ import annotations

import struct

SECTOR = 512
RESERVED = 32
TABLE_SECTORS = 16
CLUSTERS = 1000
DATA = (RESERVED + 2 * TABLE_SECTORS) * SECTOR
ROOT, EFI, BOOT, FIRST = 2, 3, 4, 5
END = 0x0FFFFFF8


def volume(content: bytes, *, chain: list[int] | None = None, taken: tuple[int, ...] = ()) -> bytearray:
    count = -(-len(content) // SECTOR)
    chain = chain or list(range(FIRST, FIRST + count))
    table = {0: 0x0FFFFFF8, 1: END, ROOT: END, EFI: END, BOOT: END, **dict.fromkeys(taken, END)}
    table |= dict(zip(chain, [*chain[1:], END], strict=True))
    made = bytearray(DATA + CLUSTERS * SECTOR)
    made[:SECTOR] = boot_sector()
    made[SECTOR : 2 * SECTOR] = info(CLUSTERS - len(table) + 2, chain[-1])
    for place in (RESERVED, RESERVED + TABLE_SECTORS):
        for cluster, following in table.items():
            struct.pack_into("<I", made, place * SECTOR + 4 * cluster, following)
    put(made, ROOT, entry(b"VITRINE    ", 0, 0, kind=8) + entry(b"EFI        ", EFI, 0, kind=0x10))
    put(made, EFI, entry(b".          ", EFI, 0, kind=0x10) + entry(b"BOOT       ", BOOT, 0, kind=0x10))
    put(made, BOOT, entry(b"BOOTX64 EFI", chain[0], len(content)))
    for index, cluster in enumerate(chain):
        put(made, cluster, content[index * SECTOR : (index + 1) * SECTOR])
    return made


def boot_sector() -> bytes:
    sector = bytearray(SECTOR)
    struct.pack_into("<HBHB", sector, 11, SECTOR, 1, RESERVED, 2)
    struct.pack_into("<II", sector, 32, DATA // SECTOR + CLUSTERS, TABLE_SECTORS)
    struct.pack_into("<IHH", sector, 44, ROOT, 1, 6)
    sector[82:90] = b"FAT32   "
    return bytes(sector)


def info(free: int, last: int) -> bytes:
    sector = bytearray(SECTOR)
    struct.pack_into("<I", sector, 0, 0x41615252)
    struct.pack_into("<III", sector, 484, 0x61417272, free, last)
    return bytes(sector)


def entry(name: bytes, cluster: int, size: int, *, kind: int = 0x20) -> bytes:
    return struct.pack("<11sB8xH4xHI", name, kind, cluster >> 16, cluster & 0xFFFF, size)


def put(made: bytearray, cluster: int, data: bytes) -> None:
    place = DATA + (cluster - 2) * SECTOR
    made[place : place + len(data)] = data


def read(made: bytes) -> bytes:
    """Read the file as any driver would: by its entry and its chain."""
    place = DATA + (BOOT - 2) * SECTOR
    high, low, size = struct.unpack_from("<H4xHI", made, place + 20)
    cluster, content = high << 16 | low, b""
    while cluster < END:
        content += made[DATA + (cluster - 2) * SECTOR :][:SECTOR]
        (cluster,) = struct.unpack_from("<I", made, RESERVED * SECTOR + 4 * cluster)
    return content[:size]


def tables(made: bytes) -> list[bytes]:
    starts = (RESERVED * SECTOR, (RESERVED + TABLE_SECTORS) * SECTOR)
    return [bytes(made[start : start + TABLE_SECTORS * SECTOR]) for start in starts]


def free(made: bytes) -> tuple[int, int]:
    counted, last = struct.unpack_from("<II", made, SECTOR + 488)
    return counted, last
