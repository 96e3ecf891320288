"""The CC event log of a TD: what the ACPI table CCEL points to.

Sources: UEFI 2.10, section 38; Intel TDX Virtual Firmware Design Guide, on the event log; events as in TCG PC Client
Platform Firmware Profile, section 10. Register 0 is MRTD, 1 to 4 are RTMR0 to RTMR3. As with any log, only digests
that replay are true.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from client_sdk.errors import EvidenceError

SHA384 = 0x000C
REGISTERS = 5
NO_ACTION = 0x00000003
MAX_LOG = 16 * 1024 * 1024
MAX_EVENTS = 8192
MAX_ALGORITHMS = 8
_DIGEST_SIZES = {0x0004: 20, 0x000B: 32, SHA384: 48, 0x000D: 64, 0x0012: 32}
_SIGNATURE = b"Spec ID Event03\0"
_LEGACY = struct.Struct("<II20sI")
_SPEC = struct.Struct("<16sIBBBBI")
_ALGORITHM = struct.Struct("<HH")
_HEAD = struct.Struct("<III")
_U16, _U32 = struct.Struct("<H"), struct.Struct("<I")


class CcEvent(NamedTuple):
    """One event: its SHA-384 digest alone is kept; ``offset`` is where it starts in the log."""

    register: int
    kind: int
    digest: bytes
    data: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class CcEventLog:
    """The events after the header, in order, and how many bytes they take; the rest is padding."""

    events: tuple[CcEvent, ...]
    used: int


def parse_ccel(log: bytes) -> CcEventLog:
    """Read a log and the padding behind it, which is all 0xFF or all 0x00.

    Raises:
        EvidenceError: with the offset; also for a log without a SHA-384 bank.
    """
    if len(log) > MAX_LOG:
        raise EvidenceError("ccel", f"{len(log)} bytes are over the limit of {MAX_LOG}")
    sizes, offset = _header(log)
    # From here on all bytes are 0xFF, or zero: an event that merely looks like padding lies before.
    padding = min(len(log.rstrip(b"\xff")), len(log.rstrip(b"\0")))
    events: list[CcEvent] = []
    try:
        while offset < padding:
            if len(events) == MAX_EVENTS:
                raise EvidenceError(f"ccel byte {offset}", f"more than {MAX_EVENTS} events")
            event, offset = _event(log, sizes, offset)
            events.append(event)
    except struct.error as error:
        raise EvidenceError(f"ccel byte {offset}", "the log ends inside an event") from error
    return CcEventLog(tuple(events), offset)


def _header(log: bytes) -> tuple[dict[int, int], int]:
    """Return the digest sizes by algorithm and the offset behind the Spec ID event, which names no register."""
    if len(log) < _LEGACY.size:
        raise EvidenceError("ccel byte 0", "there is no Spec ID header")
    _register, kind, _digest, size = _LEGACY.unpack_from(log)
    body = log[_LEGACY.size : _LEGACY.size + size]
    if kind != NO_ACTION or len(body) != size or size < _SPEC.size or not body.startswith(_SIGNATURE):
        raise EvidenceError("ccel byte 0", "the first event is not a Spec ID header of the crypto-agile form")
    count = _SPEC.unpack_from(body)[-1]
    if not 1 <= count <= MAX_ALGORITHMS:
        raise EvidenceError("ccel byte 56", f"expected 1 to {MAX_ALGORITHMS} digest algorithms, got {count}")
    vendor = _SPEC.size + count * _ALGORITHM.size
    if len(body) <= vendor or len(body) != vendor + 1 + body[vendor]:
        raise EvidenceError(f"ccel byte {_LEGACY.size + vendor}", "the Spec ID header has another length")
    pairs = tuple(_ALGORITHM.iter_unpack(body[_SPEC.size : vendor]))
    sizes = dict(pairs)
    if any(_DIGEST_SIZES.get(algorithm) != size for algorithm, size in pairs):
        raise EvidenceError("ccel byte 60", "a digest algorithm that is not known, or of another size")
    if len(sizes) != len(pairs) or SHA384 not in sizes:
        raise EvidenceError("ccel byte 60", "the log needs one SHA-384 bank, and each bank once")
    return sizes, _LEGACY.size + size


def _event(log: bytes, sizes: dict[int, int], start: int) -> tuple[CcEvent, int]:
    register, kind, count = _HEAD.unpack_from(log, start)
    if register >= REGISTERS and kind != NO_ACTION:
        raise EvidenceError(f"ccel byte {start}", f"there is no measurement register {register}")
    digest, offset = _digests(log, sizes, count, start + _HEAD.size)
    (size,) = _U32.unpack_from(log, offset)
    offset += _U32.size
    if size > len(log) - offset:
        raise EvidenceError(f"ccel byte {offset - 4}", f"event data of {size} bytes run over the end")
    return CcEvent(register, kind, digest, log[offset : offset + size], start), offset + size


def _digests(log: bytes, sizes: dict[int, int], count: int, offset: int) -> tuple[bytes, int]:
    """Return the SHA-384 digest and the offset behind all digests; a bank comes at most once, in any order."""
    if not 1 <= count <= len(sizes):
        raise EvidenceError(f"ccel byte {offset - 4}", f"{count} digests where 1 to {len(sizes)} are due")
    digest, left = b"", dict(sizes)
    start = offset
    for _ in range(count):
        (algorithm,) = _U16.unpack_from(log, offset)
        size = left.pop(algorithm, 0)
        if not size:
            raise EvidenceError(f"ccel byte {offset}", f"digest algorithm {algorithm:#06x} is not due here")
        offset += _U16.size
        if algorithm == SHA384:
            digest = log[offset : offset + size]
        offset += size
    if len(digest) != 48:
        raise EvidenceError(f"ccel byte {start}", "the event has no SHA-384 digest")
    return digest, offset
