"""The unified kernel image: the systemd stub with command line, initrd and kernel as sections."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image.workshop import Workshop

STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
_PE = b"PE\0\0"
_TIME_STAMP = 8
_CHECKSUM = 24 + 64
# In the order of their addresses; .linux last, since the stub may use what follows it.
SECTIONS = (".osrel", ".cmdline", ".uname", ".initrd", ".linux")


@dataclass(frozen=True, slots=True)
class Parts:
    """What goes into the sections."""

    osrel: bytes
    cmdline: bytes
    uname: bytes
    initrd: bytes
    linux: bytes


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a PE image is loaded, its alignment, and the first free address behind its sections."""

    base: int
    alignment: int
    end: int


def make_uki(workshop: Workshop, parts: Parts) -> tuple[bytes, bytes]:
    """Build the UKI; returns it and the stub it was made of.

    Raises:
        BakeError: the stub is not what we know, or objcopy fails.
    """
    stub = stub_of(workshop.tools)
    layout = _layout(stub)
    (workshop.folder / "stub.efi").write_bytes(stub)
    command = ["objcopy"]
    address = layout.end
    for name in SECTIONS:
        data = getattr(parts, name[1:])
        path = workshop.folder / f"section{name}"
        path.write_bytes(data)
        command += [f"--add-section={name}={path.name}", f"--set-section-flags={name}=data,readonly"]
        command += [f"--change-section-vma={name}={layout.base + address:#x}"]
        address = _aligned(address + len(data), layout.alignment)
    workshop.run([*command, "stub.efi", "uki.efi"], what="building the UKI")
    uki = without_time((workshop.folder / "uki.efi").read_bytes())
    (workshop.folder / "uki.efi").write_bytes(uki)
    return uki, stub


def stub_of(tools: Path) -> bytes:
    """Read the stub of a tools tree."""
    return (tools / STUB.lstrip("/")).read_bytes()


def without_time(image: bytes) -> bytes:
    """Zero the time stamp and the checksum that objcopy writes: the first differs with every run."""
    header = _header(image)
    fixed = bytearray(image)
    for offset in (header + _TIME_STAMP, header + _CHECKSUM):
        fixed[offset : offset + 4] = bytes(4)
    return bytes(fixed)


def _layout(stub: bytes) -> _Layout:
    header = _header(stub)
    count, _, _, _, optional_size = struct.unpack_from("<HIIIH", stub, header + 6)
    base, alignment = struct.unpack_from("<QI", stub, header + 24 + 24)
    table = header + 24 + optional_size
    ends = []
    for index in range(count):
        size, address = struct.unpack_from("<II", stub, table + 40 * index + 8)
        ends.append(address + size)
    if not ends or alignment == 0 or alignment & (alignment - 1):
        raise BakeError("the systemd stub has no sections or a strange alignment")
    return _Layout(base=base, alignment=alignment, end=_aligned(max(ends), alignment))


def _header(image: bytes) -> int:
    if len(image) < 0x40 or image[:2] != b"MZ":
        raise BakeError("the systemd stub is not a PE image")
    (header,) = struct.unpack_from("<I", image, 0x3C)
    if image[header : header + 4] != _PE or len(image) < header + 0x100:
        raise BakeError("the systemd stub is not a PE image")
    return int(header)


def _aligned(value: int, alignment: int) -> int:
    return (value + alignment - 1) // alignment * alignment
