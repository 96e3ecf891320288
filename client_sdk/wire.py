"""Attestation on a connection that somebody else opened: what ``http.client`` needs of a socket, over two functions.

The functions are an HTTP library's, and so is the connection: closing is left to it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import httpcore2

from client_sdk.deadline import left

Read = Callable[[int, float | None], bytes]
Write = Callable[[bytes, float | None], None]
_BROKEN = (httpcore2.NetworkError, httpcore2.TimeoutException)


class Wire:
    """Reads and writes get what is left of one deadline. ``closed`` says that HTTP wanted the connection to end."""

    def __init__(self, read: Read, write: Write, *, seconds: float) -> None:
        self._read, self._write, self._deadline = read, write, time.monotonic() + seconds
        self.closed = False

    def sendall(self, data: bytes) -> None:
        """Write all of it within the deadline."""
        try:
            self._write(bytes(data), left(self._deadline))
        except _BROKEN as error:
            raise OSError(str(error) or type(error).__name__) from error

    def receive(self, size: int) -> bytes:
        """Read some of it within the deadline; nothing at the end."""
        try:
            return self._read(size, left(self._deadline))
        except _BROKEN as error:
            raise OSError(str(error) or type(error).__name__) from error

    def makefile(self, *_: Any) -> io.BufferedReader:
        """Return a file to read from; what it holds back after an answer was nobody's to send."""
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """Note that no further round can follow."""
        self.closed = True


class _Incoming(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._wire.receive(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
