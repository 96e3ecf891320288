"""What an NVIDIA GPU or NVSwitch signs: an SPDM GET_MEASUREMENTS request and its response (DMTF DSP0274 1.1, 10.11).

::

    request    11 e0 param1 param2 nonce[32] slot                                                       37 bytes
    response   11 60 param1 param2 blocks u8, length u24, record, nonce[32], opaque length u16, opaque, signature[96]
    block      index u8, 1, size u16, { type u8, size u16, value }                               little-endian sizes

Hopper, Blackwell and the LS10 switch share the form. The opaque data is NVIDIA's ("NVIDIA Opaque Data Format",
docs.nvidia.com/attestation/specs): entries of type, size and value, or, after the word ``NVDAOD`` and a version, of
type, value type, size and value.

One device in the field hands out one byte more than its message has. Up to one byte after the signature is kept apart
as ``trailing`` and means nothing: it is not signed and not read. Whoever binds the evidence hashes it as received.

Parsing proves nothing. What a chip claims about itself counts once ``verify/nvidia.py`` has checked the signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct

from client_sdk.errors import EvidenceError
from client_sdk.parse.reader import Reader

SPDM_1_1, GET_MEASUREMENTS, MEASUREMENTS, DMTF = 0x11, 0xE0, 0x60, 1
SIGNATURE_SIZE = 96
MAX_SIZE = 64 * 1024
MAX_TRAILING = 1
MAX_FIELDS = 256
_REQUEST, _RESPONSE, _NONCE = Struct("<BBBB32sB"), Struct("<BBBBB"), Struct("<32sH")
_BLOCK, _VALUE, _ENTRY, _TYPED_ENTRY = Struct("<BBH"), Struct("<BH"), Struct("<HH"), Struct("<HHH")
_MAGIC, _VERSION = b"NVDAOD", Struct("<HBBBB")
KNOWN_VERSIONS = (1, 2)
DRIVER_VERSION, VBIOS_VERSION, CHIP_SKU, PROJECT, PROJECT_SKU = 3, 6, 15, 17, 18
FWID, PROTECTED_PCIE, SWITCH_PDI, POSITION, OPAQUE_VERSION, FEATURE = 20, 21, 22, 24, 34, 36
FWID_SIZE, PDI_SIZE = 48, 8
_FIRMWARE = re.compile(r"[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}")


@dataclass(frozen=True, slots=True)
class Opaque:
    """NVIDIA's own fields, as signed; a field that the device does not state is empty or None.

    ``feature`` is the mode for several GPUs and ``protected_pcie`` the state of NVLink's protection by the switches;
    ``switches`` are the identifiers of the switches that a GPU's links end in (a switch states its own, alone).
    """

    version: int
    driver_version: str
    vbios_version: str
    chip_sku: str
    project: str
    project_sku: str
    fwid: bytes
    protected_pcie: int | None
    feature: int | None
    switches: tuple[bytes, ...]
    is_switch: bool
    fields: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """Request and response: ``signed`` is what the signature (``r``, ``s``) covers, ``measurements`` go by block."""

    param1: int
    param2: int
    nonce: bytes
    response_nonce: bytes
    measurements: dict[int, bytes]
    opaque: Opaque
    signed: bytes
    r: int
    s: int
    trailing: bytes


def parse_transcript(data: bytes, where: str) -> Transcript:
    """Read a device's evidence: the request and the signed response to it.

    Raises:
        EvidenceError: with the offset.
    """
    reader = Reader(data, where)
    if len(data) > MAX_SIZE:
        raise reader.error(0, f"{len(data)} bytes are over the limit of {MAX_SIZE}")
    version, code, param1, param2, nonce, _slot = reader.unpack(_REQUEST)
    if (version, code) != (SPDM_1_1, GET_MEASUREMENTS):
        raise reader.error(0, f"not a GET_MEASUREMENTS request of SPDM 1.1 ({version:#04x} {code:#04x})")
    version, code, _param1, _param2, count = reader.unpack(_RESPONSE)
    if (version, code) != (SPDM_1_1, MEASUREMENTS):
        raise reader.error(_REQUEST.size, f"not a MEASUREMENTS response of SPDM 1.1 ({version:#04x} {code:#04x})")
    length = int.from_bytes(reader.take(3), "little")
    measurements = _record(reader, count, length)
    response_nonce, size = reader.unpack(_NONCE)
    start = reader.offset
    opaque = _opaque(reader.take(size), f"{where} opaque data at byte {start}, there")
    end = reader.offset
    signature, trailing = reader.take(SIGNATURE_SIZE), reader.rest()
    if len(trailing) > MAX_TRAILING:
        raise reader.error(end + SIGNATURE_SIZE, f"{len(trailing)} bytes are left over")
    half = SIGNATURE_SIZE // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    return Transcript(param1, param2, nonce, response_nonce, measurements, opaque, data[:end], r, s, trailing)


def _record(reader: Reader, count: int, length: int) -> dict[int, bytes]:
    """Read the measurement record: ``count`` blocks in exactly ``length`` bytes, each index once."""
    start, found = reader.offset, {}
    for _ in range(count):
        place = reader.offset
        index, specification, size = reader.unpack(_BLOCK)
        _type, value_size = reader.unpack(_VALUE)
        if specification != DMTF or size != _VALUE.size + value_size:
            raise reader.error(place, f"measurement block {index} is not one of DMTF's, or its sizes do not add up")
        if index == 0 or index in found:
            raise reader.error(place, f"measurement block {index} comes twice, or has no index")
        found[index] = reader.take(value_size)
    if not count or reader.offset - start != length:
        raise reader.error(start, f"{count} blocks are {reader.offset - start} bytes, not {length}")
    return found


def _opaque(data: bytes, where: str) -> Opaque:
    reader = Reader(data, where)
    version, layout = 0, _ENTRY
    if data.startswith(_MAGIC):
        reader.take(len(_MAGIC))
        profile, version, _minor, _patch, _padding = reader.unpack(_VERSION)
        layout = _TYPED_ENTRY
        if profile or version not in KNOWN_VERSIONS:
            raise reader.error(len(_MAGIC), f"profile {profile}, version {version} is not known")
    fields: dict[int, bytes] = {}
    while reader.offset < len(data):
        place = reader.offset
        kind, *_value_type, size = reader.unpack(layout)
        if kind in fields or len(fields) >= MAX_FIELDS:
            raise reader.error(place, f"field {kind} comes twice, or is one too many")
        fields[kind] = reader.take(size)
    return _fields(fields, version, where)


def _fields(fields: dict[int, bytes], version: int, where: str) -> Opaque:
    version = version or _number(fields, OPAQUE_VERSION, where) or 0
    if version and version not in KNOWN_VERSIONS:
        raise EvidenceError(where, f"version {version} is not known")
    fwid, switches = fields.get(FWID, b""), fields.get(SWITCH_PDI, b"")
    if len(fwid) not in (0, FWID_SIZE) or len(switches) % PDI_SIZE:
        raise EvidenceError(where, "a firmware id or a list of switches has an impossible size")
    return Opaque(
        version=version,
        driver_version=_text(fields, DRIVER_VERSION, where),
        vbios_version=_vbios(fields.get(VBIOS_VERSION, b""), where),
        chip_sku=_text(fields, CHIP_SKU, where),
        project=_text(fields, PROJECT, where),
        project_sku=_text(fields, PROJECT_SKU, where),
        fwid=fwid,
        protected_pcie=_number(fields, PROTECTED_PCIE, where),
        feature=_number(fields, FEATURE, where),
        switches=tuple([switches[i : i + PDI_SIZE] for i in range(0, len(switches), PDI_SIZE)]),
        is_switch=POSITION in fields,
        fields=tuple(fields.items()),
    )


def _text(fields: dict[int, bytes], kind: int, where: str) -> str:
    """Return a C string: what stands after its end is padding of zeros."""
    data = fields.get(kind, b"").rstrip(b"\0")
    text = data.decode("latin-1")
    if not (text.isascii() and text.isprintable()):
        raise EvidenceError(where, f"field {kind} is not printable text")
    return text


def _number(fields: dict[int, bytes], kind: int, where: str) -> int | None:
    if kind not in fields:
        return None
    data = fields[kind]
    if not 1 <= len(data) <= 8:
        raise EvidenceError(where, f"field {kind} is a number of {len(data)} bytes")
    return int.from_bytes(data, "little")


def _vbios(data: bytes, where: str) -> str:
    """Return the firmware version as RIM files spell it; a GPU states a number of 8 bytes, a switch text."""
    if len(data) == 8:
        low, high = data[3::-1], data[4:]
        if any(high[1:]):
            raise EvidenceError(where, "the VBIOS version has more parts than five")
        return ".".join([f"{part:02X}" for part in (*low, high[0])])
    text = data.rstrip(b"\0").decode("latin-1")
    if text and not _FIRMWARE.fullmatch(text):
        raise EvidenceError(where, "the firmware version is not one")
    return text
