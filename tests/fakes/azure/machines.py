"""What stands behind a machine that the fake cloud runs: by default a port that takes connections and says nothing.

A test that wants a real machine there gives the cloud another object with these two methods.
"""

from __future__ import annotations

import socket
from typing import Protocol


class Machines(Protocol):
    """``start`` is called when a machine runs, ``stop`` when it is gone. Several may share an address and port.

    ``move`` is called for a running machine that the balancer leads to from elsewhere now, or from nowhere (None).
    """

    def start(self, name: str, body: dict, address: str, port: int) -> None: ...
    def move(self, name: str, where: tuple[str, int] | None) -> None: ...
    def stop(self, name: str) -> None: ...


class Listeners:
    """Takes connections at the address that the balancer has, as long as any machine is behind it."""

    def __init__(self) -> None:
        self.running: dict[str, tuple[str, int] | None] = {}
        self._sockets: dict[tuple[str, int], socket.socket] = {}

    def start(self, name: str, body: dict, address: str, port: int) -> None:
        self.move(name, (address, port))

    def move(self, name: str, where: tuple[str, int] | None) -> None:
        if where is not None and where not in self._sockets:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen()
            self._sockets[where] = listener
        before, self.running[name] = self.running.get(name), where
        self._close(before)

    def stop(self, name: str) -> None:
        self._close(self.running.pop(name, None))

    def _close(self, where: tuple[str, int] | None) -> None:
        if where is not None and where not in self.running.values():
            self._sockets.pop(where).close()

    def close(self) -> None:
        for name in list(self.running):
            self.stop(name)
