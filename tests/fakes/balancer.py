"""A balancer that passes TCP through: each connection goes to the next node. It ends no TLS and reads nothing."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager


class Balancer(socketserver.ThreadingTCPServer):
    """``nodes`` are ports, in turn; a test may change them while it runs. A port with nobody on it is a dead node."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # clients may come all at once: none waits for a second because a SYN was dropped

    def __init__(self, *nodes: int):
        super().__init__(("127.0.0.1", 0), _PassThrough)
        self.nodes = list(nodes)
        self.connections = 0
        self._lock = threading.Lock()

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def next(self) -> int:
        with self._lock:
            self.connections += 1
            return self.nodes[(self.connections - 1) % len(self.nodes)]

    def handle_error(self, request, client_address):
        """Connections that break are what the tests are about."""


class _PassThrough(socketserver.BaseRequestHandler):
    server: Balancer

    def handle(self):
        with socket.create_connection(("127.0.0.1", self.server.next()), timeout=20) as node:
            back = threading.Thread(target=_pump, args=(node, self.request), daemon=True)
            back.start()
            _pump(self.request, node)
            back.join(20)


def _pump(source, target):
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@contextmanager
def balancing(*nodes: int):
    """Run a balancer until the block ends."""
    balancer = Balancer(*nodes)
    thread = threading.Thread(target=balancer.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield balancer
    finally:
        balancer.shutdown()
        balancer.server_close()
        thread.join(5)
