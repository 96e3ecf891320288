"""What firmware events carry: UEFI variables, load options, tagged events (TCG PC Client profile, section 10.2)."""

from __future__ import annotations

import struct
from typing import NamedTuple
from uuid import UUID

from client_sdk.errors import EvidenceError

_HEAD = struct.Struct("<16sQQ")
_LOAD_OPTION = struct.Struct("<IH")
_TAG = struct.Struct("<II")
GLOBAL_VARIABLE = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
IMAGE_SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
MAX_NAME = 256


class Variable(NamedTuple):
    """UEFI_VARIABLE_DATA: vendor GUID as its bytes lie in memory, name, value."""

    vendor: bytes
    name: str
    value: bytes


def parse_variable(data: bytes, where: str) -> Variable:
    """Read UEFI_VARIABLE_DATA to its last byte.

    Raises:
        EvidenceError: lengths that do not add up, or a name that is not UTF-16.
    """
    if len(data) < _HEAD.size:
        raise EvidenceError(where, "too short for a UEFI variable")
    vendor, characters, size = _HEAD.unpack_from(data)
    start = _HEAD.size + 2 * characters
    if characters > MAX_NAME or len(data) != start + size:
        raise EvidenceError(where, "the lengths in the UEFI variable do not add up")
    return Variable(vendor, utf16(data[_HEAD.size : start], where), data[start:])


def parse_description(value: bytes, where: str) -> str:
    """Return the description of an EFI_LOAD_OPTION, the content of a ``Boot####`` variable.

    Raises:
        EvidenceError: the option is cut short.
    """
    if len(value) < _LOAD_OPTION.size:
        raise EvidenceError(where, "too short for a load option")
    for end in range(_LOAD_OPTION.size, len(value) - 1, 2):
        if value[end : end + 2] == b"\0\0":
            return utf16(value[_LOAD_OPTION.size : end], where)
    raise EvidenceError(where, "the description of the load option has no end")


def parse_tag(data: bytes, where: str) -> tuple[int, bytes]:
    """Read a TCG_PCClientTaggedEvent: its id and its data.

    Raises:
        EvidenceError: the length does not add up.
    """
    if len(data) < _TAG.size:
        raise EvidenceError(where, "too short for a tagged event")
    tag, size = _TAG.unpack_from(data)
    if len(data) != _TAG.size + size:
        raise EvidenceError(where, "the length in the tagged event does not add up")
    return tag, data[_TAG.size :]


def utf16(data: bytes, where: str) -> str:
    """Decode UTF-16LE without a terminator.

    Raises:
        EvidenceError: it is not UTF-16.
    """
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise EvidenceError(where, "not UTF-16") from error
