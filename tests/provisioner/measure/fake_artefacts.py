"""PE images, UKIs and GPT disks of a few kilobytes, with every field that the reader looks at."""

import struct
import uuid
import zlib
from pathlib import Path

OPTIONAL = 0x40 + 24
CHECKSUM = OPTIONAL + 64
DIRECTORY = OPTIONAL + 112 + 4 * 8
HEADERS = 0x400
CMDLINE = b"console=ttyS0 panic=-1 quiet loglevel=0 vitrine.test=1"

UKI_SECTIONS = {
    ".text": b"code of the stub",
    ".sbat": b"sbat,1\n",
    ".osrel": b'ID=debian\nVERSION_ID="13"\n',
    ".cmdline": CMDLINE,
    ".uname": b"6.12",
    ".initrd": b"an initrd",
}


def pe_image(sections: dict[str, bytes] | list[tuple[str, bytes]], *, certificates: bytes = b"") -> bytes:
    named = list(sections.items()) if isinstance(sections, dict) else sections
    table, bodies, offset, address = b"", b"", HEADERS, 0x1000
    for name, content in named:
        raw = content + bytes(-len(content) % 0x200)
        table += struct.pack("<8sIIII12xI", name.encode(), len(content), address, len(raw), offset, 0x60000020)
        bodies, offset, address = bodies + raw, offset + len(raw), address + 0x10000
    optional = bytearray(240)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<I", optional, 60, HEADERS)
    struct.pack_into("<I", optional, 64, 0xC0FFEE)
    struct.pack_into("<I", optional, 108, 16)
    if certificates:
        struct.pack_into("<II", optional, 112 + 4 * 8, offset, len(certificates))
    dos = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(named), 0, 0, 0, len(optional), 0x22)
    return (dos + coff + optional + table).ljust(HEADERS, b"\0") + bodies + certificates


def uki_image(**changes: bytes | None) -> bytes:
    """A UKI; `cmdline=b"…"` replaces a section, `cmdline=None` leaves it out."""
    kernel = changes.pop("linux", pe_image({".text": b"kernel code", ".data": b"kernel data"}))
    sections = {**UKI_SECTIONS, ".linux": kernel}
    sections.update({f".{name}": content for name, content in changes.items()})
    return pe_image({name: content for name, content in sections.items() if content is not None})


def gpt_disk(partitions: list[tuple[str, bytes]], *, seed: int = 0) -> bytes:
    entries, bodies, sector = b"", b"", 34
    for number, (name, content) in enumerate(partitions):
        body = content + bytes(-len(content) % 512)
        last = sector + len(body) // 512 - 1
        kind, unique = uuid.UUID(int=number + 1).bytes_le, uuid.UUID(int=seed * 1000 + number).bytes_le
        entries += struct.pack("<16s16sQQQ72s", kind, unique, sector, last, 0, name.encode("utf-16-le"))
        bodies, sector = bodies + body, last + 1
    entries = entries.ljust(128 * 128, b"\0")
    return protective_mbr() + gpt_header(entries, sector - 1, seed) + entries + bodies


def gpt_header(entries: bytes, last_usable: int, seed: int = 0, **changes: int) -> bytes:
    values = {"size": 92, "sector": 1, "entries_at": 2, "count": 128, "entry_size": 128} | changes
    unique = uuid.UUID(int=seed).bytes_le

    def pack(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, values["size"], checksum, 0, values["sector"], 99, 34,
            last_usable, unique, values["entries_at"], values["count"], values["entry_size"], zlib.crc32(entries),
        )  # fmt: skip

    return pack(zlib.crc32(pack(0))).ljust(512, b"\0")


def protective_mbr() -> bytes:
    return bytes(510) + b"\x55\xaa"


def write_artefacts(folder: Path, uki: bytes | None = None, *, seed: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    uki = uki_image() if uki is None else uki
    (folder / "uki.efi").write_bytes(uki)
    disk = gpt_disk([("esp", b"\0" * 1024 + uki), ("vitrine-root", b"root")], seed=seed)
    (folder / "boot.raw").write_bytes(disk)
    return folder
