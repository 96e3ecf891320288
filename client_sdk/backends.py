"""What a stock HTTP library connects through: streams that carry requests exist for verified nodes alone (C3, C7).

A connection has three forms, each with less behind it. (1) TCP: it cannot be read or written, only begin TLS. (2) TLS
with somebody: only attestation runs on it. (3) An attested stream, which is made of a verdict and is the only thing
that the HTTP library ever writes to. So no byte of a request can be on a connection whose peer was not verified.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import httpcore2

from client_sdk.deadline import Address, addresses, in_turn, left
from client_sdk.errors import FetchError, VerificationError
from client_sdk.fetch import HANDSHAKE, Peer, spelt, tls_context
from client_sdk.fleet import Attempts, Fleet, NotAdmittedError, Verdict
from client_sdk.rules import keeps
from client_sdk.wire import Read, Wire, Write

# HTTP libraries hand nothing of a request to the backend that connects for it; thread and task are the request's own.
_ATTEMPTS: ContextVar[Attempts] = ContextVar("_ATTEMPTS")

_UNREACHED = (httpcore2.ConnectError, httpcore2.ConnectTimeout, TimeoutError)
_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
_RESET = "the connection was reset before TLS began; is a machine behind it?"


@contextmanager
def one_request() -> Iterator[Attempts]:
    """Count the connections that are made for one request."""
    token = _ATTEMPTS.set(attempts := Attempts())
    try:
        yield attempts
    finally:
        _ATTEMPTS.reset(token)


def trusting_nobody() -> ssl.SSLContext:
    """Make the context that a library gets: no handshake under it succeeds, should it ever connect by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _admit(fleet: Fleet, tls: Any, read: Read, write: Write, *, address: str, attempts: Attempts) -> Verdict:
    """Verify the node at the other end of a TLS stream, on that stream."""
    wire = Wire(read, write, seconds=fleet.seconds)
    peer = Peer(fleet.origin, wire, certificate=_shown(tls), address=address)
    verdict = fleet.admit(peer, attempts)
    if wire.closed:
        raise NotAdmittedError(FetchError(f"{fleet.origin} ends a connection after attestation; is a proxy before it?"))
    return verdict


def _address(tcp: Any) -> str:
    """Say where a connection leads. One that was reset does not know any more, and is not worth a handshake.

    Raises:
        NotAdmittedError: it was reset.
    """
    try:
        address = tcp.get_extra_info("server_addr")
    except OSError as error:  # as a socket says it; asyncio says nothing
        raise NotAdmittedError(FetchError(_RESET)) from error
    if address is None:
        raise NotAdmittedError(FetchError(_RESET))
    return spelt(address)


def _limited(timeout: float | None) -> float:
    """Limit a handshake: the caller's time is about answers, and a machine that hangs is not worth all of it."""
    return HANDSHAKE if timeout is None else min(timeout, HANDSHAKE)


def _shown(tls: Any) -> bytes:
    """Return the certificate of the key that TLS has just proven.

    Raises:
        NotAdmittedError: there was no handshake: ``ssl`` makes none, and says nothing, on a socket that was reset.
    """
    session = tls.get_extra_info("ssl_object")
    if session is None:
        raise NotAdmittedError(FetchError(_RESET))
    return bytes(session.getpeercert(True) or b"")


@keeps("C3")
def _no_tls_within_tls() -> VerificationError:
    return VerificationError("C3", "a verified connection leads to the node itself and to nothing behind it")


class AttestedStream(httpcore2.NetworkStream):
    """TLS to the node that a verdict is about; it takes bytes for as long as the verdict holds."""

    def __init__(self, stream: httpcore2.NetworkStream, verdict: Verdict) -> None:
        self._stream, self.verdict = stream, verdict

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read; an answer that began in time may end late."""
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, while the verdict holds.

        Raises:
            VerificationError: C7.
        """
        self.verdict.hold()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(self, *_: Any, **__: Any) -> httpcore2.NetworkStream:
        """Refuse.

        Raises:
            VerificationError: C3.
        """
        raise _no_tls_within_tls()

    def get_extra_info(self, info: str) -> Any:
        """Say what the stream says. A pool closes an idle connection that is readable: past its age it seems so."""
        return (info == "is_readable" and self.verdict.is_stale) or self._stream.get_extra_info(info)


class _Unverified(httpcore2.NetworkStream):
    """TCP to nobody knows whom."""

    def __init__(self, stream: httpcore2.NetworkStream, fleet: Fleet) -> None:
        self._stream, self._fleet = stream, fleet

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002 - it trusts nobody; who is trusted gets decided here
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> AttestedStream:
        with ExitStack() as on_error:
            on_error.callback(self._stream.close)
            address = _address(self._stream)
            tls = self._stream.start_tls(tls_context(), server_hostname, _limited(timeout))
            on_error.callback(tls.close)
            verdict = _admit(self._fleet, tls, tls.read, tls.write, address=address, attempts=_ATTEMPTS.get())
            on_error.pop_all()
        return AttestedStream(tls, verdict)


def _in_turn(
    host: str, port: int, timeout: float, reach: Callable[[Address, float], httpcore2.NetworkStream]
) -> httpcore2.NetworkStream:
    try:
        found = addresses(host, port)  # before the time begins: a slow resolver is no address that does not answer
        return in_turn(found, time.monotonic() + timeout, reach, unreached=_UNREACHED)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout(str(error)) from error
    except OSError as error:
        raise httpcore2.ConnectError(str(error)) from error


class AttestingBackend(httpcore2.NetworkBackend):
    """Connects to the nodes of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._network = fleet, httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Open a connection that can do nothing yet but begin TLS.

        All addresses of a name share the time, one after the other; looking it up is not part of that.

        Raises:
            httpcore2.ConnectError, httpcore2.ConnectTimeout: none of them answers.
        """

        def reach(address: Address, until: float) -> httpcore2.NetworkStream:
            where = address[-1]
            at, _ = socket.getnameinfo(where, _NUMERIC)  # with the link that an address of IPv6 may be of
            return self._network.connect_tcp(at, where[1], left(until), local_address, socket_options)

        if timeout is None:  # no limit, so nothing to share
            stream = self._network.connect_tcp(host, port, None, local_address, socket_options)
        else:
            stream = _in_turn(host, port, timeout, reach)
        return _Unverified(stream, self._fleet)


class AsyncAttestedStream(httpcore2.AsyncNetworkStream):
    """The same, asynchronous."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, verdict: Verdict) -> None:
        self._stream, self.verdict = stream, verdict

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        """Read; an answer that began in time may end late."""
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write, while the verdict holds.

        Raises:
            VerificationError: C7.
        """
        self.verdict.hold()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        """Refuse.

        Raises:
            VerificationError: C3.
        """
        raise _no_tls_within_tls()

    def get_extra_info(self, info: str) -> Any:
        """Say what the stream says. A pool closes an idle connection that is readable: past its age it seems so."""
        return (info == "is_readable" and self.verdict.is_stale) or self._stream.get_extra_info(info)


class _AsyncUnverified(httpcore2.AsyncNetworkStream):
    """TCP to nobody knows whom."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, fleet: Fleet) -> None:
        self._stream, self._fleet = stream, fleet

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002 - it trusts nobody; who is trusted gets decided here
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncAttestedStream:
        async with AsyncExitStack() as on_error:
            on_error.push_async_callback(_close, self._stream)
            address = _address(self._stream)
            tls = await self._stream.start_tls(tls_context(), server_hostname, _limited(timeout))
            on_error.push_async_callback(_close, tls)
            verdict = self._fleet.known(_shown(tls)) or await self._verified(tls, address)
            on_error.pop_all()
        return AsyncAttestedStream(tls, verdict)

    async def _verified(self, tls: httpcore2.AsyncNetworkStream, address: str) -> Verdict:
        """Verify in a thread, which reads and writes through this event loop."""

        def read(size: int, timeout: float | None) -> bytes:
            return anyio.from_thread.run(tls.read, size, timeout)

        def write(data: bytes, timeout: float | None) -> None:
            anyio.from_thread.run(tls.write, data, timeout)

        admit = partial(_admit, self._fleet, tls, read, write, address=address, attempts=_ATTEMPTS.get())
        return await anyio.to_thread.run_sync(admit)


class AsyncAttestingBackend(httpcore2.AsyncNetworkBackend):
    """The same, asynchronous."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._network = fleet, httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Open a connection that can do nothing yet but begin TLS."""
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _AsyncUnverified(stream, self._fleet)


async def _close(tls: httpcore2.AsyncNetworkStream) -> None:
    with anyio.CancelScope(shield=True):
        await tls.aclose()
