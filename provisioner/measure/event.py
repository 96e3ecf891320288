"""One measured event, and what a sequence of them leaves in a PCR."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A digest that something extends into a PCR during boot, with words that say what it is of."""

    pcr: int
    digest: bytes
    what: str


def event_of(pcr: int, data: bytes, what: str) -> Event:
    """Return the event whose digest is the SHA-256 of ``data``."""
    return Event(pcr, hashlib.sha256(data).digest(), what)


def replay(events: Iterable[Event]) -> bytes:
    """Return the value of a SHA-256 PCR that starts at zero after these events, in this order."""
    value = bytes(32)
    for event in events:
        value = hashlib.sha256(value + event.digest).digest()
    return value
