"""One deadline for a whole exchange: connecting to whichever address of a name answers, TLS, then each read and write.

A peer wins no time with single bytes, and a name wins none with many addresses. Looking a name up is the system's
resolver's, which has a limit of its own: it is not cut short. Within the limit of an exchange it counts.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Address = tuple[int, int, int, str, Any]
"""One address of a name, as the system's resolver says it: family, kind, protocol, its own name, where."""
Reached = TypeVar("Reached")
ENOUGH = 2.0
"""Seconds in which an address that is reached at all is reached even where the first packet to it is lost: the system
sends it again after one second (RFC 6298)."""
_PASSED = "the time limit has passed"


def left(deadline: float | None) -> float | None:
    """Return the seconds that are left of a deadline on the monotonic clock; None where there is none.

    Raises:
        TimeoutError: nothing is left.
    """
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(_PASSED)
    return seconds


def addresses(host: str, port: int) -> list[Address]:
    """Return the addresses of a name, in the order in which they are to be tried.

    Raises:
        OSError: the name is not known.
    """
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def in_turn(
    found: Sequence[Address],
    deadline: float,
    reach: Callable[[Address, float], Reached],
    *,
    unreached: type[Exception] | tuple[type[Exception], ...] = OSError,
) -> Reached:
    """Return what ``reach`` makes of the first of a name's addresses at which it raises nothing.

    Each address gets a fair share of what is left, or ``ENOUGH`` where that is more and leaves half to those behind:
    ``reach`` gets the moment until which, and says with one of ``unreached`` that the next may be tried. A certificate
    that is not trusted is an answer, and ends it.

    Raises:
        OSError: the name has no address, or the time has passed.
        unreached: what the last address said.
    """
    failed: Exception = OSError("the name has no address")
    for before, address in enumerate(found):
        now = time.monotonic()
        remaining = deadline - now
        if remaining <= 0:
            raise TimeoutError(_PASSED) from failed
        share = remaining / (len(found) - before)
        try:
            return reach(address, now + max(share, min(ENOUGH, remaining / 2)))
        except ssl.SSLCertVerificationError:
            raise
        except unreached as error:
            failed = error
    raise failed


def connected(host: str, port: int, deadline: float, begin: Callable[[DeadlinePlain], Reached]) -> Reached:
    """Connect to the first address of a name that answers, and return what ``begin`` makes of the connection.

    That is TLS, where it is to be: one that accepts a connection and then is silent has not answered, and both
    have to be done in an address's share of the time.

    Raises:
        OSError: none did before the deadline; what the last one said, or that the time has passed.
    """

    def reach(address: Address, until: float) -> Reached:
        family, kind, protocol, _, where = address
        raw = DeadlinePlain(family, kind, protocol)  # an error, for a family that this machine does not speak
        try:
            raw.deadline = until
            raw.settimeout(left(until))
            raw.connect(where)
            raw.settimeout(left(until))
            return begin(raw)
        except BaseException:
            raw.close()
            raise

    return in_turn(addresses(host, port), deadline, reach)


def begin_tls(raw: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Begin TLS; ``ssl`` does not, and says nothing, on a socket that was reset.

    Raises:
        OSError: there was no handshake.
        ssl.SSLCertVerificationError: the context trusts another one.
    """
    sock = context.wrap_socket(raw, server_hostname=host)
    if sock.version() is None:
        sock.close()
        raise ConnectionResetError("the connection was reset before TLS began")
    return sock


class _Deadline:
    """What both kinds have. ``deadline`` is on the monotonic clock."""

    deadline: float | None = None
    settimeout: Any

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read within the deadline."""
        self.settimeout(left(self.deadline))
        read: int = super().recv_into(*args, **kwargs)  # type: ignore[misc]  # the socket's
        return read

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """Write within the deadline."""
        self.settimeout(left(self.deadline))
        super().sendall(*args, **kwargs)  # type: ignore[misc]


class DeadlineTls(_Deadline, ssl.SSLSocket):
    """Within TLS."""


class DeadlinePlain(_Deadline, socket.socket):
    """Without."""

    def gettimeout(self) -> float | None:
        """Return no more than is left of the deadline: TLS asks, when it takes a connection over for its handshake."""
        held = [seconds for seconds in (super().gettimeout(), left(self.deadline)) if seconds is not None]
        return min(held, default=None)


class PlainConnection(http.client.HTTPConnection):
    """HTTP of the standard library, whose timeout is for all of it: connecting, what a proxy says, TLS, the exchange.

    Without a timeout it has no time.
    """

    _create_connection: Callable[..., socket.socket]  # where the standard library takes its connection from

    def connect(self) -> None:
        """Connect to whichever address answers in its share of the time.

        Raises:
            OSError: none did.
        """
        deadline = time.monotonic() + (self.timeout or 0)
        connected(self.host, self.port, deadline, self._begin)
        if isinstance(self.sock, (DeadlinePlain, DeadlineTls)):
            self.sock.deadline = deadline

    def _begin(self, raw: DeadlinePlain) -> None:
        self._create_connection = lambda *_: raw
        super().connect()  # what a proxy is told, where there is one, and TLS


class TlsConnection(PlainConnection, http.client.HTTPSConnection):
    """The same, with TLS; its context makes ``DeadlineTls``."""
