"""One HTTP request within limits of time, however its bytes come: as single ones, and with redirects, as well.

A timeout alone holds each read, and a server that sends a byte now and then is never late. Here each step has a moment
by which it is over: first all that comes before the contents, then each part of these.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

from client_sdk.deadline import DeadlinePlain, DeadlineTls, PlainConnection, TlsConnection, left

_BLOCK = 1 << 20


class Exchange:
    """Asks once, and follows redirects to HTTP and HTTPS alone; ``seconds`` are for each step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._sockets: list[DeadlinePlain | DeadlineTls] = []
        context = ssl.create_default_context()
        context.sslsocket_class = DeadlineTls
        self._opener = urllib.request.OpenerDirector()  # without handlers of files and FTP
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _Redirects(),
            _Plain(self.connecting, self.connected),
            _Tls(self.connecting, self.connected, context),
        ):
            self._opener.add_handler(handler)

    def open(self, url: str) -> http.client.HTTPResponse:
        """Return the answer, of which the contents are not read yet.

        Raises:
            TimeoutError: it did not come in time.
            OSError: there is none; ``urllib.error.URLError`` and ``HTTPError`` are such.
            HTTPException: it is none.
            ValueError: the address is none.
        """
        try:
            answer: http.client.HTTPResponse = self._opener.open(url, timeout=self._seconds)
        except (TimeoutError, urllib.error.URLError) as error:
            if isinstance(getattr(error, "reason", error), TimeoutError):
                raise TimeoutError(f"it did not answer within {self._seconds:g} s") from error
            raise
        return answer

    def blocks(self, answer: http.client.HTTPResponse, deadline: float) -> Iterator[bytes]:
        """Yield the contents as they come.

        Raises:
            TimeoutError: the next part did not come in time, or the deadline has passed.
            OSError: the connection broke.
            HTTPException: the answer is cut short or malformed.
        """
        try:
            while block := self._block(answer, deadline):
                yield block
        except TimeoutError as error:
            raise TimeoutError("it comes too slowly") from error

    def _block(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        left(deadline)
        for connection in self._sockets:
            connection.deadline = min(deadline, time.monotonic() + self._seconds)
        return answer.read1(_BLOCK)  # what has come: else it would wait until a block is full

    def connecting(self) -> float | None:
        """Return how long a new connection may take."""
        return left(self._deadline)

    def connected(self, connection: DeadlinePlain | DeadlineTls) -> None:
        """Hold a new connection to the deadline."""
        connection.deadline = self._deadline
        self._sockets.append(connection)


Connecting = Callable[[], float | None]
Connected = Callable[[DeadlinePlain | DeadlineTls], None]


class _PlainConnection(PlainConnection):
    def __init__(self, connecting: Connecting, connected: Connected, host: str, **more: Any) -> None:
        super().__init__(host, **more)
        self._connecting, self._connected = connecting, connected

    def connect(self) -> None:
        self.timeout = self._connecting()
        super().connect()
        if isinstance(self.sock, (DeadlinePlain, DeadlineTls)):
            self._connected(self.sock)


class _TlsConnection(_PlainConnection, TlsConnection):
    pass


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, connecting: Connecting, connected: Connected) -> None:
        super().__init__()
        self._connection = partial(_PlainConnection, connecting, connected)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _Tls(urllib.request.HTTPSHandler):
    def __init__(self, connecting: Connecting, connected: Connected, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._connection, self._verified = partial(_TlsConnection, connecting, connected), context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req, context=self._verified)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        fp.close()  # else what stands beside the new address would be read whole, and it may have no end
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
