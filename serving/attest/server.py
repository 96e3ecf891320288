"""The attester's socket: one thread that waits for lines, answers one of each caller, and waits again.

A quote is over as many nonces as its line has: the gateway, which is the caller, gathers those that wait while the
TPM works. No timer, no lock, no second thread.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from serving.attest.service import Attester
from serving.attest.wire import (
    MAX_LINE,
    EvidenceRequest,
    QuoteRequest,
    error_line,
    evidence_line,
    parse_request,
    quote_line,
    secret_line,
)
from serving.errors import RequestError, TpmBusyError

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the socket: what one caller and all of them together may hold."""

    connections: int = 512
    unsent_per_connection: int = 16 * 1024 * 1024
    idle_seconds: float = 30.0


class Connection:
    """One caller: bytes that came, answers that wait to be sent. Answers keep the order of the requests."""

    def __init__(self, channel: socket.socket, now: float) -> None:
        self.channel, self.active = channel, now
        self.received, self.unsent = bytearray(), bytearray()
        self.ended = self.broken = False

    def receive(self, now: float) -> None:
        """Take what has come."""
        try:
            data = self.channel.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.broken = True
            return
        self.active = now
        self.ended = self.ended or not data
        self.received += data

    def line(self) -> bytes | None:
        """Take the next complete line, if there is one; a line over the limit ends the connection."""
        end = self.received.find(b"\n")
        if end < 0 and len(self.received) <= MAX_LINE:
            return None
        if not 0 <= end <= MAX_LINE:
            self.received.clear()
            self.unsent += error_line("too_large", f"a request has at most {MAX_LINE} bytes")
            self.ended = True
            return None
        line = bytes(self.received[:end])
        del self.received[: end + 1]
        return line

    def send(self, now: float) -> None:
        """Send what the caller takes."""
        try:
            sent = self.channel.send(self.unsent[:_CHUNK])
        except BlockingIOError:
            return
        except OSError:
            self.broken = True
            return
        self.active = now
        del self.unsent[:sent]

    def has_line(self) -> bool:
        """Tell whether a request is waiting."""
        return b"\n" in self.received or len(self.received) > MAX_LINE


class Server:
    """Serves one listening socket for ever."""

    def __init__(
        self, listener: socket.socket, attester: Attester, *, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._listener, self._attester, self._limits, self._clock = listener, attester, limits, clock
        self._connections: dict[int, Connection] = {}
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)

    def serve(self, watch: Callable[[], None] | None = None) -> None:
        """Serve until the process ends, or what ``watch`` looks after is lost: it is called once a round."""
        while True:
            self.round(timeout=1.0)
            if watch is not None:
                watch()

    def round(self, timeout: float) -> None:
        """Wait for something to do, then do all of it once: receive, answer, send, and drop who is gone."""
        self._watch()
        more = any(connection.has_line() for connection in self._readable())
        for key, events in self._selector.select(0 if more else timeout):
            if key.fileobj is self._listener:
                self._accept()
            elif events & selectors.EVENT_READ:
                key.data.receive(self._clock())
        self._answer()
        for connection in self._connections.values():
            if connection.unsent and not connection.broken:
                connection.send(self._clock())
        self._drop()

    def close(self) -> None:
        """Close every socket."""
        for connection in self._connections.values():
            connection.channel.close()
        self._connections.clear()
        self._selector.close()
        self._listener.close()

    def _readable(self) -> list[Connection]:
        """Return who may ask more: a caller who takes no answers is not read from."""
        limit = self._limits.unsent_per_connection
        return [found for found in self._connections.values() if len(found.unsent) < limit]

    def _watch(self) -> None:
        """Register what is waited for in this round."""
        full = len(self._connections) >= self._limits.connections
        self._register(self._listener, 0 if full else selectors.EVENT_READ, None)
        wanted = {id(connection) for connection in self._readable() if not connection.has_line()}
        for connection in self._connections.values():
            reading = selectors.EVENT_READ if id(connection) in wanted and not connection.ended else 0
            writing = selectors.EVENT_WRITE if connection.unsent else 0
            self._register(connection.channel, reading | writing, connection)

    def _register(self, channel: socket.socket, events: int, data: Connection | None) -> None:
        known = self._selector.get_map().get(channel.fileno())
        if known is not None and known.events == events:
            return
        if known is not None:
            self._selector.unregister(channel)
        if events:
            self._selector.register(channel, events, data)

    def _accept(self) -> None:
        while len(self._connections) < self._limits.connections:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # nobody waits, or the caller is gone already
                return
            channel.setblocking(False)
            self._connections[channel.fileno()] = Connection(channel, self._clock())

    def _answer(self) -> None:
        """Answer one line of every caller: none waits for more than one of each other's."""
        for connection in self._readable():
            line = connection.line()
            if line is not None:
                connection.unsent += self._answered(line)

    def _answered(self, line: bytes) -> bytes:
        try:
            request = parse_request(line)
            if isinstance(request, EvidenceRequest):
                return evidence_line(self._attester.evidence)
            if isinstance(request, QuoteRequest):
                return quote_line(*self._attester.quote(request.nonces))
            return secret_line(self._attester.activate(request.credential_blob, request.encrypted_secret))
        except RequestError as error:
            return error_line(error.code, error.message)
        except TpmBusyError:
            return error_line("unavailable", "the TPM gives no quote now")

    def _drop(self) -> None:
        """Close connections that are broken, done, or idle for too long."""
        now = self._clock()
        for number, connection in list(self._connections.items()):
            done = connection.ended and not connection.unsent and not connection.has_line()
            idle = now - connection.active > self._limits.idle_seconds
            if connection.broken or done or idle:
                with suppress(KeyError, ValueError):  # it may wait for nothing in this round
                    self._selector.unregister(connection.channel)
                connection.channel.close()
                del self._connections[number]
