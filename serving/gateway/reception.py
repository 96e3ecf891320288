"""Accepting connections: a bound on them before TLS costs anything, and a host that has vanished is noticed.

uvicorn would have the event loop accept: as many as there are descriptors, each with a minute for its handshake.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from serving.gateway.callers import caller_of
from serving.gateway.forgetting import BeginsUntouched
from serving.gateway.guests import FullError, Guest, Guests
from serving.gateway.limits import Limits
from serving.gateway.protocol import BoundedProtocol

_BACKLOG = 2048
_AT_ONCE = 64
_PAUSE = 0.2  # seconds without a look at who waits, where the system has nothing left to let them in with
_NOTHING_LEFT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def listen(host: str, port: int, limits: Limits) -> socket.socket:
    """Listen. What is set here, Linux hands on to each connection that is accepted (tcp(7)).

    A host that vanishes says nothing: what was sent to it and is not acknowledged in time ends the connection, and
    where nothing is sent, probes are.
    """
    listener = socket.create_server((host, port), backlog=_BACKLOG)
    listener.setblocking(False)
    seconds = limits.vanished_seconds
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (socket.TCP_USER_TIMEOUT, 1000 * seconds),
        (socket.TCP_KEEPIDLE, max(1, seconds // 2)),
        (socket.TCP_KEEPINTVL, max(1, seconds // 6)),
    ):
        listener.setsockopt(socket.IPPROTO_TCP, option, value)
    return listener


class Reception:
    """Accepts on one listening socket until it is closed; uvicorn takes it for one of its servers."""

    def __init__(
        self, listener: socket.socket, context: ssl.SSLContext, make: Callable[[], BoundedProtocol], limits: Limits
    ) -> None:
        self._listener, self._context, self._make, self._limits = listener, context, make, limits
        self._loop, self._guests = asyncio.get_running_loop(), Guests(limits.connections)
        self._arriving: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._arriving:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nobody is arriving."""
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                channel, address = self._listener.accept()
            except OSError as error:
                if error.errno in _NOTHING_LEFT:
                    self._pause()
                if error.errno != errno.ECONNABORTED:
                    return
            else:
                task = self._loop.create_task(self._let_in(channel, caller_of(address[0])))
                self._arriving.add(task)
                task.add_done_callback(self._arriving.discard)

    def _pause(self) -> None:
        """Look away for a moment, since the socket stays readable: others leave meanwhile."""
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    async def _let_in(self, channel: socket.socket, caller: str) -> None:
        protocol, task = self._make(), asyncio.current_task()
        guest = Guest(self._guests, caller, task.cancel if task else channel.close)
        protocol.guest = guest
        try:
            channel.setblocking(False)
            self._guests.add(guest)
            connecting = self._loop.connect_accepted_socket(
                lambda: protocol,
                channel,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_seconds,
                ssl_shutdown_timeout=self._limits.farewell_seconds,
            )
            # It begins by making a buffer of 256 KiB, of which little is ever used.
            await self._loop.create_task(BeginsUntouched(connecting))
        except (OSError, FullError):  # no TLS, too slow, gone, or no room
            pass
        finally:
            if protocol.transport is None:  # it got no further than here
                guest.leaves()
                channel.close()
