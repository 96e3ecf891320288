"""The shape of answers as an observer of the connection sees it: few sizes, at few times. Pure: bytes and times in.

TLS hides content, not the length of a record nor when it is sent. A token is an event of its own, so an unshaped stream
shows each token's length and the engine's pace, from which topics and sentences have been told. Here every head has one
size, every body one of a few, and all are sent on a grid that begins when the request is complete. A stream has exactly
one record at each tick, whether something was written or nothing.

What still shows: the request's own size and time; that an answer is a stream, a refusal before the engine, or a whole
one; the time until it ends, in steps of ``end``; and, where more is written within a tick than ``smallest`` takes, or a
whole answer is longer, the next power of two. docs/shaping.md has what each costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus

_FINAL = (b"data: [DONE]", b"event: response.completed", b"event: response.incomplete")
_EVENT_END = b"\n\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """Times in seconds, sizes in bytes. ``end`` is a whole number of ticks: streams end at ticks alone."""

    tick: float = 0.25
    end: float = 1.0
    head: int = 512
    smallest: int = 4096

    def __post_init__(self) -> None:
        """Refuse a shape that no stream could keep.

        Raises:
            ValueError: ``end`` is not a whole number of ticks.
        """
        ticks = round(self.end / self.tick)
        if ticks < 1 or not math.isclose(ticks * self.tick, self.end):
            raise ValueError(f"end is {self.end} s: it must be a whole number of ticks of {self.tick} s")

    def bucket(self, size: int) -> int:
        """Return the size that so many bytes are padded to: the smallest, or the next power of two."""
        return max(self.smallest, 1 << (size - 1).bit_length()) if size else self.smallest

    def pad_json(self, body: bytes) -> bytes:
        """Pad a JSON text; white space after it is legal (RFC 8259, section 2)."""
        return body.ljust(self.bucket(len(body)))

    def pad_events(self, events: bytes) -> bytes:
        """Pad whole server-sent events by a comment, which readers skip (HTML standard, section 9.2.6)."""
        size = self.bucket(len(events) + 3)
        return events + b":" + b"." * (size - len(events) - 3) + _EVENT_END

    def pad_head(self, status: int, headers: dict[str, str]) -> dict[str, str]:
        """Add a header that makes the head one size: a refusal's must not tell itself from an answer's.

        A head that is longer has the next power of two, so that it shows no more than that it is longer.
        """
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        if "content-length" not in headers:
            lines.append("transfer-encoding: chunked")
        size = sum(len(line) + 2 for line in lines) + len("x-padding: \r\n\r\n")
        whole = max(self.head, 1 << (size - 1).bit_length())
        return {**headers, "x-padding": "." * (whole - size)}

    def wait(self, began: float, now: float, step: float) -> float:
        """Return how long to wait for the next instant of a grid of ``step`` seconds; the first is one step in."""
        return began + step * max(1, math.ceil((now - began) / step)) - now


class Batches:
    """One stream's events: they come at any time, and leave as one record at each tick.

    What ends a stream for its reader is held until the stream may end.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._waiting, self._final, self._complete = b"", b"", False
        self._ticks = 0

    @property
    def size(self) -> int:
        """How many bytes wait."""
        return len(self._waiting)

    def add(self, events: bytes) -> None:
        """Take whole events."""
        start = events.rfind(_EVENT_END, 0, -len(_EVENT_END))
        cut = 0 if start < 0 else start + len(_EVENT_END)
        if events.startswith(_FINAL, cut):
            events, self._final = events[:cut], events[cut:]
        self._waiting += events

    def finish(self) -> None:
        """No more events will come."""
        self._complete = True

    def take(self, elapsed: float) -> tuple[bytes, bool]:
        """Return the record of a tick so many seconds after the request, and whether it is the stream's last."""
        ticks, ends = round(elapsed / self._shape.tick), round(self._shape.end / self._shape.tick)
        # Or past it: a machine that is busy skips ticks.
        last = self._complete and ticks // ends > self._ticks // ends
        self._ticks = ticks
        events = self._waiting + self._final if last else self._waiting
        self._waiting = b""
        return self._shape.pad_events(events), last
