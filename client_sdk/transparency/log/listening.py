"""A small HTTP server whose callers cannot hold it: a few at a time, and each connection for a limited time.

It is for this machine, or for a web server in front of it. It writes no log and never looks at who asks.
"""

from __future__ import annotations

import http
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from client_sdk.deadline import DeadlinePlain

LOOPBACK = "127.0.0.1"
SECONDS = 60.0
MAX_CALLERS = 32


class Handler(BaseHTTPRequestHandler):
    """Answers on one connection. A subclass has ``do_GET`` or ``do_POST``."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vitrine", ""

    def answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        """Send an answer; to HEAD without its body."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: http.HTTPStatus) -> None:
        """Send an error; the connection ends after it."""
        self.close_connection = True
        self.answer(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode(), Connection="close")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse what is no HTTP, without repeating any of it."""
        self.refuse(http.HTTPStatus(code))

    def log_message(self, *_: Any) -> None:
        """Write nothing."""

    def handle(self) -> None:
        """Answer until the caller has gone, or its time is over."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    """Listens on the loopback; port 0 takes a free one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, handler: type[Handler]) -> None:
        self._free = threading.BoundedSemaphore(MAX_CALLERS)
        super().__init__((LOOPBACK, port), handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection and give it a deadline."""
        taken, address = super().get_request()
        bounded = DeadlinePlain(fileno=taken.detach())
        bounded.deadline = time.monotonic() + SECONDS
        return bounded, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; hang up on more callers than there are threads."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let the next caller in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Hang up: whatever a caller did, it is not told what happened, and neither is the terminal."""
