"""HTTP/1.1 with bounds: uvicorn's parser limits neither the size of a request's head nor the time it may take."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.errors import RequestError
from serving.gateway.limits import Limits
from serving.gateway.replies import error_body

_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn is not installed on the development host
    """Closes a connection whose request head is too long or too slow."""

    limits = Limits()
    head_bytes = 0
    head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the clock for the first request's head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the connection is being closed for an earlier fault."""
        if self.transport.is_closing():
            return
        super().data_received(data)

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
        """Stop the clock."""
        self._head_is_there()
        super().on_headers_complete()

    def send_400_response(self, _: str) -> None:
        """Answer what is no HTTP in the form of every other error; the parser's own words stay here."""
        body = error_body(RequestError("bad_request", "This is no HTTP request."))
        self.transport.write(_BAD_REQUEST % len(body) + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > self.limits.header_bytes:
            self.transport.abort()
            raise ValueError("the request's head is too long")

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
