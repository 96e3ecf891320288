"""A log or a witness over HTTPS: one connection, every answer bounded in size and time, nothing followed.

TLS is verified by this system's roots. No trust in a log comes from there: everything that counts is signed or hashed,
and is judged by who reads it. On the loopback plain HTTP is taken too, for trying out.

An answer may be compressed with gzip whoever asks (C2SP tlog-tiles, "Log entries"): it is unpacked up to the limit.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from client_sdk.deadline import DeadlineTls, begin_tls, connected
from client_sdk.errors import EvidenceError, FetchError

SECONDS = 30.0
_CHUNK = 65_536
# A server ends a kept connection when it likes, also in the middle of an answer.
_CLOSED = (http.client.RemoteDisconnected, http.client.IncompleteRead, ConnectionError, ssl.SSLError)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WRAPPING = 16_384  # what gzip may add
_GZIP = 16 + zlib.MAX_WBITS


class AbsentError(FetchError):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whatever its status."""

    status: int
    kind: str
    body: bytes


class Web:
    """The files below a URL, or what is asked of a witness there. It is closed by ``close``.

    Raises:
        EvidenceError: the URL is none of HTTPS, or says more than a place.
    """

    def __init__(self, url: str, *, seconds: float = SECONDS, context: ssl.SSLContext | None = None) -> None:
        self.url = url.rstrip("/")
        self._host, self._port, self._prefix, self._is_tls = _parts(self.url)
        self._seconds = seconds
        self._context = context or ssl.create_default_context()
        self._context.sslsocket_class = DeadlineTls
        self._connection: http.client.HTTPConnection | None = None

    def __str__(self) -> str:
        return self.url

    def get(self, path: str, *, limit: int) -> bytes:
        """Return a file.

        Raises:
            AbsentError: there is none.
            FetchError: no answer, or another one than a file.
            EvidenceError: it is over the limit.
        """
        answer = self.ask("GET", path, limit=limit)
        if answer.status == http.HTTPStatus.OK:
            return answer.body
        if answer.status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.FORBIDDEN, http.HTTPStatus.GONE):
            # A bucket that may not be listed answers 403 for what is not there.
            raise AbsentError(f"{self.url}/{path} is not there (HTTP {answer.status})")
        raise FetchError(f"{self.url}/{path} answered HTTP {answer.status}; is a log served there?")

    def ask(self, method: str, path: str, *, limit: int, body: bytes | None = None) -> Answer:
        """Send a request and return the answer. It is sent once more where a kept connection was closed meanwhile.

        Raises:
            FetchError: no answer.
            EvidenceError: it is over the limit, or compressed in a way that it should not be.
        """
        deadline = time.monotonic() + self._seconds
        is_kept = self._connection is not None
        try:
            return self._once(method, path, body, limit=limit, deadline=deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not (is_kept and isinstance(error, _CLOSED)):
                raise self._failed(path, error) from error
        try:
            return self._once(method, path, body, limit=limit, deadline=deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(path, error) from error

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, body: bytes | None, *, limit: int, deadline: float) -> Answer:
        """Ask once. Whatever ends it early ends the connection: what is left unread there answers no other request."""
        try:
            if self._connection is None:
                self._connection = self._connect(deadline)
            sock: Any = self._connection.sock
            sock.deadline = deadline
            headers = {"Accept-Encoding": "gzip, identity", "User-Agent": "vitrine-log"}
            self._connection.request(method, f"{self._prefix}/{path}", body=body, headers=headers)
            with self._connection.getresponse() as response:
                data = self._bounded(response, path, limit)
                kind = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
                if response.will_close:
                    self.close()
                return Answer(response.status, kind, data)
        except BaseException:
            self.close()
            raise

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.auto_open = 0
        connection.sock = connected(self._host, self._port, deadline, self._begin)
        return connection

    def _begin(self, raw: socket.socket) -> socket.socket:
        return begin_tls(raw, self._context, self._host) if self._is_tls else raw

    def _bounded(self, response: http.client.HTTPResponse, path: str, limit: int) -> bytes:
        """Read an answer that is not too long."""
        encoding = response.getheader("Content-Encoding", "identity").strip().lower()
        if encoding not in ("gzip", "identity"):
            raise EvidenceError(f"{self.url}/{path}", f"compressed as {encoding!r}, which was not asked for")
        unpacking = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        found, received = bytearray(), 0
        while chunk := response.read1(_CHUNK):
            received += len(chunk)
            try:
                found += chunk if unpacking is None else unpacking.decompress(chunk, limit + 1 - len(found))
            except zlib.error as error:
                raise EvidenceError(f"{self.url}/{path}", "what is said to be gzip is not") from error
            if len(found) > limit or received > limit + _WRAPPING:
                raise EvidenceError(f"{self.url}/{path}", f"over the {limit} bytes that it can have")
        if response.length:
            raise http.client.IncompleteRead(bytes(found), response.length)
        if unpacking is not None and not unpacking.eof:
            raise http.client.IncompleteRead(bytes(found))
        return bytes(found)

    def _failed(self, path: str, error: Exception) -> FetchError:
        reason = getattr(error, "verify_message", "") or str(error) or type(error).__name__
        return FetchError(f"no answer from {self.url}/{path}: {reason}")


def _parts(url: str) -> tuple[str, int, str, bool]:
    """Return host, port, path and whether it is HTTPS."""
    wrong = EvidenceError(url[:200], "expected https://HOST[:PORT][/PATH], or http:// on this machine's loopback")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise wrong from error
    is_tls = parts.scheme == "https"
    extra = parts.query or parts.fragment or parts.username or parts.password
    if not host or extra or not (is_tls or (parts.scheme == "http" and host in _LOOPBACK)) or not url.isprintable():
        raise wrong
    if not url.isascii() or " " in url:
        raise wrong
    return host, port or (443 if is_tls else 80), parts.path.rstrip("/"), is_tls
