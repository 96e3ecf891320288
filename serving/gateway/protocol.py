"""HTTP/1.1 with bounds: uvicorn's parser limits neither the size of a request's head nor the time it may take.

What RFC 9112 has refused because two readers would read it differently is refused (3.2, 5.1, 6.1); a bare line feed
and a folded line, which it lets a reader take (2.2, 5.2), have one reading here.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.errors import RequestError
from serving.gateway.guests import Guest
from serving.gateway.limits import Limits
from serving.gateway.replies import error_body

_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
)
_VERSIONS = {"1.0", "1.1"}


class BoundedProtocol(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn is not installed on the development host
    """Closes a connection whose request head is too long or too slow, or that says nothing after an answer."""

    limits = Limits()
    guest: Guest
    head_bytes = 0
    head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the clock for the first request's head."""
        super().connection_made(transport)
        self.guest.end = transport.abort
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._head_is_there()
        self.guest.leaves()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the connection is being closed for an earlier fault."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._rests() and self.timeout_keep_alive_task is None and self.head_timer is None:
            self._await_head()  # what came was no new request: uvicorn would wait for ever

    def on_message_begin(self) -> None:
        """Start the clock and the count for a request's head."""
        super().on_message_begin()
        self.head_bytes = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """Count."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock, and refuse a head with two readings."""
        self._head_is_there()
        self._judge_head()
        super().on_headers_complete()
        self.guest.works()

    def on_response_complete(self) -> None:
        """Rest, unless the next request is there already."""
        super().on_response_complete()
        if self._rests():
            self.guest.rests()

    def send_400_response(self, _: str) -> None:
        """Answer what is no HTTP in the form of every other error; the parser's own words stay here."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # no answer into the middle of another
            return
        body = error_body(RequestError("bad_request", "This is no HTTP request."))
        self.transport.write(_BAD_REQUEST % len(body) + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > self.limits.header_bytes:
            self.transport.abort()
            raise ValueError("the request's head is too long")

    def _judge_head(self) -> None:
        hosts, codings, version = 0, 0, self.parser.get_http_version()
        for name, value in self.headers:
            hosts += name == b"host"
            if name == b"transfer-encoding":
                codings += 1 if value.lower() == b"chunked" else 2
            if b" " in name:  # the parser lets nothing else pass that is no name
                raise ValueError("the request's head has two readings")
        if version not in _VERSIONS or hosts > 1 or hosts < (version == "1.1") or codings > (version == "1.1"):
            raise ValueError("the request's head has two readings")
        if len(self.pipeline) >= self.limits.pipelined:
            self.transport.abort()
            raise ValueError("too many requests are sent ahead")

    def _rests(self) -> bool:
        return self.cycle is None or (self.cycle.response_complete and not self.pipeline)

    def _await_head(self) -> None:
        self._head_is_there()
        self.head_timer = self.loop.call_later(self.limits.header_seconds, self.transport.abort)

    def _head_is_there(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None


def bounded_protocol(limits: Limits) -> type[Any]:
    """Make the protocol class with these limits; uvicorn wants a class rather than an object."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})
