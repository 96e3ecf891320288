"""TCG event log (TCG PC Client Platform Firmware Profile, sections 9.2 and 10): crypto-agile, or the SHA-1 form of old.

A parsed log is a story. Only digests that replay to quoted PCRs are true, and neither an event's type nor its data is
in its digest. The reader says which bank's digests are wanted: an event without one makes the whole log unreadable.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from client_sdk.errors import EvidenceError

SHA1, SHA256, SHA384, SHA512, SM3 = 0x0004, 0x000B, 0x000C, 0x000D, 0x0012
DIGEST_SIZES = {SHA1: 20, SHA256: 32, SHA384: 48, SHA512: 64, SM3: 32}
_NAMES = {SHA1: "SHA-1", SHA256: "SHA-256", SHA384: "SHA-384", SHA512: "SHA-512", SM3: "SM3"}
_SIGNATURE = b"Spec ID Event03\0"
_LEGACY = struct.Struct("<II20sI")
_SPEC = struct.Struct("<16sIBBBBI")
_ALGORITHM = struct.Struct("<HH")
_HEAD = struct.Struct("<III")
_U16, _U32 = struct.Struct("<H"), struct.Struct("<I")
EV_NO_ACTION = 0x00000003
MAX_ALGORITHMS = 8
MAX_EVENTS = 8192
MAX_PCR = 23


class Event(NamedTuple):
    """One event: the wanted bank's digest alone is kept; ``offset`` is where it starts in the log."""

    pcr: int
    kind: int
    digest: bytes
    data: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events after the header, in order."""

    events: tuple[Event, ...]


def parse_event_log(data: bytes, *, bank: int = SHA256, padding: bytes = b"\xff") -> EventLog:
    """Read a whole log: a Spec ID header (itself in SHA-1 form), then events that all carry a digest of the bank.

    A log without that header is in SHA-1 form from end to end, and read as such when that bank is wanted. Bytes of
    ``padding`` alone at the end, as firmware tables have them, are read as the end.

    Raises:
        EvidenceError: with the offset; also for a log without the wanted bank.
    """
    if bank == SHA1 and data[_LEGACY.size : _LEGACY.size + len(_SIGNATURE)] != _SIGNATURE:
        return EventLog(tuple(_legacy_events(data, padding)))
    sizes, offset = _header(data, bank)
    events = _quick_events(data, offset, sizes, bank)
    if events is None:
        events = _events(data, sizes, offset, bank=bank, padding=padding)
    return EventLog(tuple(events))


def _header(data: bytes, bank: int) -> tuple[dict[int, int], int]:
    if len(data) < _LEGACY.size:
        raise EvidenceError("event_log byte 0", "there is no Spec ID header")
    pcr, kind, _digest, size = _LEGACY.unpack_from(data)
    body = data[_LEGACY.size : _LEGACY.size + size]
    if pcr != 0 or kind != EV_NO_ACTION or len(body) != size or size < _SPEC.size:
        raise EvidenceError("event_log byte 0", "the first event is not a Spec ID header")
    signature, _platform, _minor, _major, _errata, _uintn, count = _SPEC.unpack_from(body)
    if signature != _SIGNATURE:
        raise EvidenceError("event_log byte 32", "the log is not in crypto-agile form (Spec ID Event03)")
    if not 1 <= count <= MAX_ALGORITHMS:
        raise EvidenceError("event_log byte 56", f"expected 1 to {MAX_ALGORITHMS} digest algorithms, got {count}")
    vendor = _SPEC.size + count * _ALGORITHM.size
    if len(body) <= vendor or len(body) != vendor + 1 + body[vendor]:
        raise EvidenceError(f"event_log byte {_LEGACY.size + vendor}", "the Spec ID header has another length")
    return _algorithms(body[_SPEC.size : vendor], bank), _LEGACY.size + size


def _algorithms(table: bytes, bank: int) -> dict[int, int]:
    pairs = tuple(_ALGORITHM.iter_unpack(table))
    for algorithm, size in pairs:
        if DIGEST_SIZES.get(algorithm) != size:
            raise EvidenceError("event_log byte 60", f"digest algorithm {algorithm:#06x} of {size} bytes")
    sizes = dict(pairs)
    if len(sizes) != len(pairs) or bank not in sizes:
        raise EvidenceError("event_log byte 60", f"the log needs one {_NAMES[bank]} bank, and each bank once")
    return sizes


def _quick_events(data: bytes, offset: int, sizes: dict[int, int], bank: int) -> list[Event] | None:
    """Read a log whose every event has a digest of each bank, in the header's order, as firmware writes them.

    It returns None for any other: the general way then finds what is unusual, and where.
    """
    algorithms = tuple(sizes)
    place = 4 + algorithms.index(bank)
    digests = "".join([f"H{size}{'s' if algorithm == bank else 'x'}" for algorithm, size in sizes.items()])
    usual = struct.Struct(f"<III{digests}I")
    before, after = (len(sizes), *algorithms[: place - 3]), algorithms[place - 3 :]
    found: list[Event] = []
    unpack, head, end, make = usual.unpack_from, usual.size, len(data), Event._make
    while offset < end:
        if end - offset < head:
            return None
        fields = unpack(data, offset)
        pcr, stop = fields[0], offset + head + fields[-1]
        if fields[2:place] != before or fields[place + 1 : -1] != after:
            return None
        if pcr > MAX_PCR or stop > end or len(found) == MAX_EVENTS:
            return None
        found.append(make((pcr, fields[1], fields[place], data[offset + head : stop], offset)))
        offset = stop
    return found


def _events(data: bytes, sizes: dict[int, int], offset: int, *, bank: int, padding: bytes) -> list[Event]:
    found: list[Event] = []
    end = len(data.rstrip(padding))
    try:
        while offset < end:
            start = offset
            pcr, kind, count = _HEAD.unpack_from(data, offset)
            _exists(pcr, kind, start)
            digest, offset = _digests(data, sizes, count, offset + _HEAD.size, bank=bank)
            (size,) = _U32.unpack_from(data, offset)
            offset = _room(data, offset + 4, size, found)
            found.append(Event(pcr, kind, digest, data[offset : offset + size], start))
            offset += size
    except struct.error as error:
        raise EvidenceError(f"event_log byte {offset}", "the log ends inside an event") from error
    return found


def _legacy_events(data: bytes, padding: bytes) -> list[Event]:
    """Read a log whose every event has one SHA-1 digest and no count (TCG EFI Platform Specification 1.22)."""
    found: list[Event] = []
    offset, end = 0, len(data.rstrip(padding))
    if not end:
        raise EvidenceError("event_log byte 0", "the log is empty")
    try:
        while offset < end:
            start = offset
            pcr, kind, digest, size = _LEGACY.unpack_from(data, offset)
            _exists(pcr, kind, start)
            offset = _room(data, offset + _LEGACY.size, size, found)
            found.append(Event(pcr, kind, digest, data[offset : offset + size], start))
            offset += size
    except struct.error as error:
        raise EvidenceError(f"event_log byte {offset}", "the log ends inside an event") from error
    return found


def _exists(pcr: int, kind: int, start: int) -> None:
    """Refuse an index that no PCR has, but for events that extend nothing: Windows writes 0xFFFFFFFF there."""
    if pcr > MAX_PCR and kind != EV_NO_ACTION:
        raise EvidenceError(f"event_log byte {start}", f"PCR {pcr} does not exist")


def _room(data: bytes, offset: int, size: int, found: list[Event]) -> int:
    """Return where an event's data starts, once it is known to fit."""
    if size > len(data) - offset:
        raise EvidenceError(f"event_log byte {offset - 4}", f"event data of {size} bytes runs over the end")
    if len(found) == MAX_EVENTS:
        raise EvidenceError("event_log", f"the log is over the limit of {MAX_EVENTS} events")
    return offset


def _digests(data: bytes, sizes: dict[int, int], count: int, offset: int, *, bank: int) -> tuple[bytes, int]:
    """Return the bank's digest and the offset after all digests; a bank comes at most once, in any order."""
    if not 1 <= count <= len(sizes):
        raise EvidenceError(f"event_log byte {offset - 4}", f"{count} digests where 1 to {len(sizes)} are due")
    start, digest, left = offset, b"", dict.fromkeys(sizes)
    for _ in range(count):
        (algorithm,) = _U16.unpack_from(data, offset)
        if algorithm not in left:
            raise EvidenceError(f"event_log byte {offset}", f"digest algorithm {algorithm:#06x} is not due here")
        del left[algorithm]
        offset += 2
        if algorithm == bank:
            digest = data[offset : offset + sizes[bank]]
        offset += sizes[algorithm]
    if len(digest) != sizes[bank]:
        raise EvidenceError(f"event_log byte {start}", f"the event has no {_NAMES[bank]} digest")
    return digest, offset
