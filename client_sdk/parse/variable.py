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


def parse_variable(data: bytes, offset: int) -> Variable:
    """Read UEFI_VARIABLE_DATA, the data of the event at ``offset``, to its last byte.

    Raises:
        EvidenceError: lengths that do not add up, or a name that is not UTF-16.
    """
    if len(data) < _HEAD.size:
        raise EvidenceError(f"event_log byte {offset}", "too short for a UEFI variable")
    vendor, characters, size = _HEAD.unpack_from(data)
    start = _HEAD.size + 2 * characters
    if characters > MAX_NAME or len(data) != start + size:
        raise EvidenceError(f"event_log byte {offset}", "the lengths in the UEFI variable do not add up")
    try:
        name = data[_HEAD.size : start].decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise EvidenceError(f"event_log byte {offset}", "not UTF-16") from error
    return Variable(vendor, name, data[start:])


def parse_description(value: bytes, where: str) -> str:
    """Return the description of an EFI_LOAD_OPTION, the content of a ``Boot####`` variable.

    Raises:
        EvidenceError: the option is cut short.
    """
    if len(value) < _LOAD_OPTION.size:
        raise EvidenceError(where, "too short for a load option")
    start = _LOAD_OPTION.size
    end = value.find(b"\0\0", start)
    while end >= 0 and (end - start) % 2:  # two zero bytes that belong to two characters
        end = value.find(b"\0\0", end + 1)
    if end >= 0:
        return _utf16(value[start:end], where)
    raise EvidenceError(where, "the description of the load option has no end")


def parse_tag(data: bytes, offset: int) -> tuple[int, bytes]:
    """Read a TCG_PCClientTaggedEvent, the data of the event at ``offset``: its id and its data.

    Raises:
        EvidenceError: the length does not add up.
    """
    if len(data) < _TAG.size:
        raise EvidenceError(f"event_log byte {offset}", "too short for a tagged event")
    tag, size = _TAG.unpack_from(data)
    if len(data) != _TAG.size + size:
        raise EvidenceError(f"event_log byte {offset}", "the length in the tagged event does not add up")
    return tag, data[_TAG.size :]


def _utf16(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise EvidenceError(where, "not UTF-16") from error
