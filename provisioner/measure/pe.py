"""PE/COFF images (x86-64): their sections, and the digest that firmware measures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from provisioner.errors import MeasureError
from provisioner.measure.window import Window

_MAX_SECTIONS = 96  # the Windows loader's limit; a UKI has about a dozen
_MAX_VIRTUAL = 1 << 30
_PE32_PLUS = 0x20B
_CHECKSUM = 64  # offsets in the optional header, which the PE specification fixes
_HEADERS_SIZE = 60
_DIRECTORY_COUNT = 108
CERTIFICATE_DIRECTORY = 112 + 4 * 8


@dataclass(frozen=True, slots=True)
class Section:
    """One section header, with the bytes that the file holds for it."""

    name: str
    virtual_size: int
    raw_offset: int
    raw_size: int
    raw: bytes

    def content(self) -> bytes:
        """Return the section as it lies in memory: cut, or filled with zeros, to its virtual size."""
        return self.raw[: self.virtual_size].ljust(self.virtual_size, b"\0")


@dataclass(frozen=True, slots=True)
class Image:
    """A parsed PE32+ image. Parsing it does not prove that firmware would load it."""

    name: str
    data: bytes
    optional_header: int
    headers_size: int
    certificates_size: int
    sections: tuple[Section, ...]


def parse_image(name: str, data: bytes) -> Image:
    """Parse a PE32+ image.

    Raises:
        MeasureError: it is cut short, is not PE32+, or its section table contradicts itself.
    """
    window = Window(name, data)
    optional = _optional_header(window)
    headers_size = window.number(optional + _HEADERS_SIZE, 4)
    window.take(0, headers_size)
    if headers_size < optional + CERTIFICATE_DIRECTORY + 8:
        raise MeasureError(f"{name}: SizeOfHeaders {headers_size} ends before the data directories")
    sections = tuple(_sections(window, optional, headers_size))
    certificates_size = _certificates_size(window, optional, sections)
    return Image(name, data, optional, headers_size, certificates_size, sections)


def section(image: Image, name: str) -> bytes:
    """Return the content of the one section of that name.

    Raises:
        MeasureError: there is none, or more than one; the stub would take the first, a reader of this code might
            expect the last.
    """
    found = [entry for entry in image.sections if entry.name == name]
    if len(found) != 1:
        raise MeasureError(f"{image.name}: {len(found)} sections named {name}, exactly one is needed")
    return found[0].content()


def authenticode(image: Image, algorithm: str = "sha256") -> bytes:
    """Return the Authenticode digest of the image, which firmware extends into PCR 4 (SHA-256) or RTMR1 (SHA-384).

    It does not cover the checksum field or the certificate table, and says nothing about signatures.
    """
    data, checksum = image.data, image.optional_header + _CHECKSUM
    directory = image.optional_header + CERTIFICATE_DIRECTORY
    digest = hashlib.new(algorithm, data[:checksum])
    digest.update(data[checksum + 4 : directory])
    digest.update(data[directory + 8 : image.headers_size])
    hashed = image.headers_size
    for entry in sorted(image.sections, key=lambda entry: entry.raw_offset):
        digest.update(entry.raw)
        hashed += entry.raw_size
    digest.update(data[hashed : len(data) - image.certificates_size])
    return digest.digest()


def _optional_header(window: Window) -> int:
    if window.take(0, 2) != b"MZ":
        raise MeasureError(f"{window.name}: not a PE image (no MZ)")
    signature = window.number(0x3C, 4)
    if window.take(signature, 4) != b"PE\0\0":
        raise MeasureError(f"{window.name}: not a PE image (no PE signature at {signature:#x})")
    optional = signature + 24
    if window.number(optional, 2) != _PE32_PLUS:
        raise MeasureError(f"{window.name}: not PE32+, so not for x86-64 UEFI")
    return optional


def _sections(window: Window, optional: int, headers_size: int) -> list[Section]:
    count = window.number(optional - 18, 2)
    table = optional + window.number(optional - 4, 2)
    if not 0 < count <= _MAX_SECTIONS:
        raise MeasureError(f"{window.name}: {count} sections, expected 1 to {_MAX_SECTIONS}")
    if table < optional + CERTIFICATE_DIRECTORY + 8 or table + 40 * count > headers_size:
        raise MeasureError(f"{window.name}: the section table does not lie inside the headers")
    sections = [_section(window, table + 40 * index) for index in range(count)]
    _refuse_overlap(window.name, sections, headers_size)
    return sections


def _section(window: Window, header: int) -> Section:
    raw_name = window.take(header, 8).rstrip(b"\0")
    if not raw_name.isascii() or b"\0" in raw_name:
        raise MeasureError(f"{window.name}: unreadable section name at offset {header:#x}")
    virtual_size = window.number(header + 8, 4)
    raw_size, raw_offset = window.number(header + 16, 4), window.number(header + 20, 4)
    if virtual_size > _MAX_VIRTUAL:
        raise MeasureError(f"{window.name}: section {raw_name.decode()} wants {virtual_size} bytes of memory")
    raw = window.take(raw_offset, raw_size) if raw_size else b""
    return Section(raw_name.decode(), virtual_size, raw_offset, raw_size, raw)


def _refuse_overlap(name: str, sections: list[Section], headers_size: int) -> None:
    end = headers_size
    for entry in sorted(sections, key=lambda entry: entry.raw_offset):
        if entry.raw_size and entry.raw_offset < end:
            raise MeasureError(f"{name}: section {entry.name} overlaps what lies before it in the file")
        end = max(end, entry.raw_offset + entry.raw_size)


def _certificates_size(window: Window, optional: int, sections: tuple[Section, ...]) -> int:
    if window.number(optional + _DIRECTORY_COUNT, 4) <= 4:
        raise MeasureError(f"{window.name}: no entry for a certificate table among the data directories")
    offset = window.number(optional + CERTIFICATE_DIRECTORY, 4)
    size = window.number(optional + CERTIFICATE_DIRECTORY + 4, 4)
    last = max(entry.raw_offset + entry.raw_size for entry in sections)
    if size and (offset < last or offset + size != len(window.data)):
        raise MeasureError(f"{window.name}: the certificate table does not end the file")
    return size
