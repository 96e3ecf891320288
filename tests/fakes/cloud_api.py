"""A cloud's API on loopback, over TLS, for the unmodified SDKs: the wire, the log of calls, and what goes wrong.

What a call does is the vendor's fake's business (a ``Handler``). This file serves it, remembers every call in order,
and breaks any of them: an error of the vendor's choice, a connection that ends before the call had its effect, or
after it. Interruption tests take the list of calls from here.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qsl, urlsplit

import trustme


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A fake's no: HTTP status, the vendor's code for it, and words. Each vendor has its own form of the answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


Handler = Callable[[Call], Answer]
Break = Literal["before", "after"]


@dataclass
class Fault:
    """Something that goes wrong: for calls that match, ``times`` times, after ``skip`` that go well.

    ``how`` is an answer in place of the call, or where the connection ends: before the call's effect, or after it.
    """

    matches: Callable[[Call], bool]
    how: Answer | Break
    times: int = 1
    skip: int = 0


class CloudApi:
    """Serves its ``handler``. Use it as a context manager; ``url`` and ``ca_file`` are for the SDK.

    ``names`` are what its certificate is for, besides this machine: a client may have been led here.
    """

    def __init__(self, handler: Handler, folder: Path, *, names: tuple[str, ...] = (), port: int = 0) -> None:
        self.handler, self._lock = handler, threading.Lock()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.seconds = 0.0  # how slow every answer is
        authority = trustme.CA()
        self.ca_file = folder / "api-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._server = _Server(("127.0.0.1", port), _Http)
        self._server.api = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost", *names).configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, call: Call) -> Answer | None:
        """Return what to send, or None to end the connection; a call's effect and its place in the log are one step."""
        time.sleep(self.seconds)
        with self._lock:
            self.calls.append(call)
            how = self._fault(call)
            if isinstance(how, Answer):
                return how
            if how == "before":
                return None
            found = self.handler(call)
            return None if how == "after" else found

    def _fault(self, call: Call) -> Answer | Break | None:
        for fault in self.faults:
            if fault.times and fault.matches(call):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault.how
        return None


def nth(number: int) -> Callable[[Call], bool]:
    """Match the call of this number, counted from 0, once."""
    count = iter(range(1 << 30))
    return lambda _: next(count) == number


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: CloudApi


class _Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True  # else the second half of each answer waits for the first one's acknowledgement
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client that breaks off is part of the tests
            super().handle()

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing: ``calls`` is the log."""

    def _serve(self) -> None:
        where = urlsplit(self.path)
        query = dict(parse_qsl(where.query, keep_blank_values=True))
        call = Call(self.command, where.path, query, dict(self.headers), b"".join(self._body()))
        answer = self.server.api.answer(call)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
