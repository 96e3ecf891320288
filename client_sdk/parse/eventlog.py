"""TCG event log, crypto-agile form (TCG PC Client Platform Firmware Profile, sections 9.2 and 10).

A parsed log is a story. Only digests that replay to quoted PCRs are true, and neither an event's type nor its data is
in its digest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from client_sdk.errors import EvidenceError

SHA256 = 0x000B
_DIGEST_SIZES = {0x0004: 20, SHA256: 32, 0x000C: 48, 0x000D: 64, 0x0012: 32}
_SIGNATURE = b"Spec ID Event03\0"
_LEGACY = struct.Struct("<II20sI")
_SPEC = struct.Struct("<16sIBBBBI")
_ALGORITHM = struct.Struct("<HH")
_HEAD = struct.Struct("<III")
_USUAL = struct.Struct("<IIIH32sI")  # an event of a log whose one bank is SHA-256
_U16, _U32 = struct.Struct("<H"), struct.Struct("<I")
EV_NO_ACTION = 0x00000003
MAX_ALGORITHMS = 8
MAX_EVENTS = 8192
MAX_PCR = 23


class Event(NamedTuple):
    """One event: its SHA-256 digest alone is kept; ``offset`` is where it starts in the log."""

    pcr: int
    kind: int
    digest: bytes
    data: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events after the header, in order."""

    events: tuple[Event, ...]


def parse_event_log(data: bytes) -> EventLog:
    """Read a whole log: a legacy (SHA-1 form) Spec ID header, then events that all carry a SHA-256 digest.

    Padding of 0xFF bytes at the end, as firmware tables have it, is read as the end.

    Raises:
        EvidenceError: with the offset; also for a log without a SHA-256 bank.
    """
    sizes, offset = _header(data)
    events = _quick_events(data, offset) if len(sizes) == 1 else None
    if events is None:
        events = _events(data, sizes, offset)
    if len(events) > MAX_EVENTS:
        raise EvidenceError("event_log", f"{len(events)} events are over the limit of {MAX_EVENTS}")
    return EventLog(tuple(events))


def _header(data: bytes) -> tuple[dict[int, int], int]:
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
    return _algorithms(body[_SPEC.size : vendor]), _LEGACY.size + size


def _algorithms(table: bytes) -> dict[int, int]:
    pairs = tuple(_ALGORITHM.iter_unpack(table))
    for algorithm, size in pairs:
        if _DIGEST_SIZES.get(algorithm) != size:
            raise EvidenceError("event_log byte 60", f"digest algorithm {algorithm:#06x} of {size} bytes")
    sizes = dict(pairs)
    if len(sizes) != len(pairs) or SHA256 not in sizes:
        raise EvidenceError("event_log byte 60", "the log needs one SHA-256 bank, and each bank once")
    return sizes


def _quick_events(data: bytes, offset: int) -> list[Event] | None:
    """Read a log whose one bank is SHA-256, or return None: the general way then finds what is unusual, and where."""
    found: list[Event] = []
    unpack, head, end, make = _USUAL.unpack_from, _USUAL.size, len(data), Event._make
    while offset < end:
        if end - offset < head:
            return None
        pcr, kind, count, bank, digest, size = unpack(data, offset)
        stop = offset + head + size
        if count != 1 or bank != SHA256 or pcr > MAX_PCR or stop > end:
            return None
        found.append(make((pcr, kind, digest, data[offset + head : stop], offset)))
        offset = stop
    return found


def _events(data: bytes, sizes: dict[int, int], offset: int) -> list[Event]:
    found: list[Event] = []
    end = len(data)
    try:
        while offset < end:
            start = offset
            pcr, kind, count = _HEAD.unpack_from(data, offset)
            if pcr > MAX_PCR and kind != EV_NO_ACTION:
                if not data[offset:].strip(b"\xff"):
                    break
                raise EvidenceError(f"event_log byte {start}", f"PCR {pcr} does not exist")
            digest, offset = _digests(data, sizes, count, offset + _HEAD.size)
            (size,) = _U32.unpack_from(data, offset)
            offset += 4
            if size > end - offset:
                raise EvidenceError(f"event_log byte {offset - 4}", f"event data of {size} bytes runs over the end")
            found.append(Event(pcr, kind, digest, data[offset : offset + size], start))
            offset += size
    except struct.error as error:
        raise EvidenceError(f"event_log byte {offset}", "the log ends inside an event") from error
    return found


def _digests(data: bytes, sizes: dict[int, int], count: int, offset: int) -> tuple[bytes, int]:
    """Return the SHA-256 digest and the offset after all digests; a bank comes at most once, in any order."""
    if not 1 <= count <= len(sizes):
        raise EvidenceError(f"event_log byte {offset - 4}", f"{count} digests where 1 to {len(sizes)} are due")
    start, digest, left = offset, b"", dict.fromkeys(sizes)
    for _ in range(count):
        (algorithm,) = _U16.unpack_from(data, offset)
        if algorithm not in left:
            raise EvidenceError(f"event_log byte {offset}", f"digest algorithm {algorithm:#06x} is not due here")
        del left[algorithm]
        offset += 2
        if algorithm == SHA256:
            digest = data[offset : offset + 32]
        offset += sizes[algorithm]
    if len(digest) != 32:
        raise EvidenceError(f"event_log byte {start}", "the event has no SHA-256 digest")
    return digest, offset
