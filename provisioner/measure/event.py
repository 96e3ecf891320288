"""One measured event, and what a sequence of them leaves in a PCR or in a run-time register of a TD."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

PCR_START = bytes(32)
RTMR_START = bytes(48)


@dataclass(frozen=True, slots=True)
class Event:
    """What something extends during boot, with words that say what it is of.

    ``digest`` is SHA-256, for a PCR; ``digest384`` is SHA-384 of the same, for a TD's register.
    """

    pcr: int
    digest: bytes
    digest384: bytes
    what: str


def event_of(pcr: int, data: bytes, what: str) -> Event:
    """Return the event whose digests are of ``data``."""
    return Event(pcr, hashlib.sha256(data).digest(), hashlib.sha384(data).digest(), what)


def replay(events: Iterable[Event], start: bytes = PCR_START) -> bytes:
    """Return the value of a SHA-256 PCR after these events, in this order."""
    value = start
    for event in events:
        value = hashlib.sha256(value + event.digest).digest()
    return value


def replay_rtmr(events: Iterable[Event]) -> bytes:
    """Return the value of a TD's run-time register, which starts at zero, after these events."""
    value = RTMR_START
    for event in events:
        value = hashlib.sha384(value + event.digest384).digest()
    return value
