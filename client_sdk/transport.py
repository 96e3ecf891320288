"""The channel to a verified peer: stock HTTP transports over one pinned context (rules C3, C4, C7).

(C3) Requests go to the verified origin, over TLS 1.3, to the attested certificate, checked on every new connection.
(C4) Past the verdict's age, or when the peer shows another certificate, verification is done again exactly once, and
only then a request is sent. Nothing else leads to a second try: a certificate is judged before a byte of the request
leaves, and once bytes may have left, an error stays an error.
(C7) Connections made under an old verdict take no new request, and are closed when their last answer is read.
"""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Generic, TypeVar

import anyio.to_thread
import httpx2

from client_sdk.channel import Session, Verdict
from client_sdk.errors import VerificationError
from client_sdk.pinning import StaleVerdictError, stale_verdict

# A request that waited for a connection in a pool could leave on it after the verdict has run out.
_NO_QUEUE = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
_CONNECTING = (httpx2.TransportError, ssl.SSLError)  # what a refused handshake comes wrapped in
Stock = TypeVar("Stock", httpx2.HTTPTransport, httpx2.AsyncHTTPTransport)


class _Generation(Generic[Stock]):
    """One verdict, the stock transport under it, and how many requests are in flight on that transport."""

    __slots__ = ("in_flight", "transport", "verdict")

    def __init__(self, verdict: Verdict, transport: Stock) -> None:
        self.verdict = verdict
        self.transport: Stock = transport
        self.in_flight = 0


class AttestedTransport(httpx2.BaseTransport):
    """Sends requests to the session's origin under its latest verdict."""

    def __init__(self, session: Session) -> None:
        self.session, self._lock = session, threading.Lock()
        self._generations = [self._under(session.latest)]

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; verify again first where that is due.

        Raises:
            AttestationError: verification was due and failed; nothing of the request was sent.
        """
        url = request.url
        self.session.refuse_elsewhere(url.scheme, url.host, url.port)
        self.session.current()
        generation = self._enter()
        try:
            return self._send(generation, request)
        except StaleVerdictError:
            self.session.renew(generation.verdict)
        try:
            return self._send(self._enter(), request)
        except StaleVerdictError as error:
            raise VerificationError(error.rule, "verified again, and then the same: give up") from error

    def close(self) -> None:
        """Close every connection."""
        for generation in self._generations:
            generation.transport.close()

    def leave(self, generation: _Generation[httpx2.HTTPTransport]) -> None:
        """One request less is in flight."""
        with self._lock:
            generation.in_flight -= 1
            self._close_superseded()

    def _send(self, generation: _Generation[httpx2.HTTPTransport], request: httpx2.Request) -> httpx2.Response:
        handled = sys.exception()
        with ExitStack() as on_error:
            on_error.callback(self.leave, generation)
            try:
                answer = generation.transport.handle_request(request)
            except _CONNECTING as error:
                if stale := stale_verdict(error, until=handled):
                    raise stale from None
                raise
            on_error.pop_all()
        stream = _Stream(answer, self, generation)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=stream, extensions=answer.extensions)

    def _enter(self) -> _Generation[httpx2.HTTPTransport]:
        with self._lock:
            latest = self.session.latest
            if self._generations[-1].verdict is not latest:
                self._generations.append(self._under(latest))
                self._close_superseded()
            generation = self._generations[-1]
            generation.in_flight += 1
            return generation

    def _close_superseded(self) -> None:
        for generation in [old for old in self._generations[:-1] if not old.in_flight]:
            self._generations.remove(generation)
            generation.transport.close()

    def _under(self, verdict: Verdict) -> _Generation[httpx2.HTTPTransport]:
        context = self.session.context(verdict)
        transport = httpx2.HTTPTransport(verify=context, trust_env=False, retries=0, limits=_NO_QUEUE)
        return _Generation(verdict, transport)


class _Stream(httpx2.SyncByteStream):
    """An answer's body; closing it, once, ends the request."""

    def __init__(
        self, answer: httpx2.Response, owner: AttestedTransport, generation: _Generation[httpx2.HTTPTransport]
    ) -> None:
        self._answer, self._owner, self._generation, self._open = answer, owner, generation, True

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_raw()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._answer.close()
            self._owner.leave(self._generation)


class AsyncAttestedTransport(httpx2.AsyncBaseTransport):
    """The same for asynchronous clients; verification runs in a thread. One event loop uses it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._generations = [self._under(session.latest)]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; verify again first where that is due.

        Raises:
            AttestationError: verification was due and failed; nothing of the request was sent.
        """
        url = request.url
        self.session.refuse_elsewhere(url.scheme, url.host, url.port)
        if self.session.is_stale:
            await anyio.to_thread.run_sync(self.session.current)
        generation = await self._enter()
        try:
            return await self._send(generation, request)
        except StaleVerdictError:
            await anyio.to_thread.run_sync(self.session.renew, generation.verdict)
        try:
            return await self._send(await self._enter(), request)
        except StaleVerdictError as error:
            raise VerificationError(error.rule, "verified again, and then the same: give up") from error

    async def aclose(self) -> None:
        """Close every connection."""
        for generation in self._generations:
            await generation.transport.aclose()

    async def leave(self, generation: _Generation[httpx2.AsyncHTTPTransport]) -> None:
        """One request less is in flight."""
        generation.in_flight -= 1
        await self._close_superseded()

    async def _send(
        self, generation: _Generation[httpx2.AsyncHTTPTransport], request: httpx2.Request
    ) -> httpx2.Response:
        handled = sys.exception()
        async with AsyncExitStack() as on_error:
            on_error.push_async_callback(self.leave, generation)
            try:
                answer = await generation.transport.handle_async_request(request)
            except _CONNECTING as error:
                if stale := stale_verdict(error, until=handled):
                    raise stale from None
                raise
            on_error.pop_all()
        stream = _AsyncStream(answer, self, generation)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def _enter(self) -> _Generation[httpx2.AsyncHTTPTransport]:
        latest = self.session.latest
        if self._generations[-1].verdict is not latest:
            self._generations.append(self._under(latest))
        generation = self._generations[-1]
        generation.in_flight += 1
        await self._close_superseded()
        return generation

    async def _close_superseded(self) -> None:
        superseded = [old for old in self._generations[:-1] if not old.in_flight]
        for generation in superseded:
            self._generations.remove(generation)
        for generation in superseded:
            await generation.transport.aclose()

    def _under(self, verdict: Verdict) -> _Generation[httpx2.AsyncHTTPTransport]:
        context = self.session.context(verdict)
        return _Generation(
            verdict, httpx2.AsyncHTTPTransport(verify=context, trust_env=False, retries=0, limits=_NO_QUEUE)
        )


class _AsyncStream(httpx2.AsyncByteStream):
    """An answer's body; closing it, once, ends the request."""

    def __init__(
        self, answer: httpx2.Response, owner: AsyncAttestedTransport, generation: _Generation[httpx2.AsyncHTTPTransport]
    ) -> None:
        self._answer, self._owner, self._generation, self._open = answer, owner, generation, True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.aiter_raw():
            yield chunk

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            await self._answer.aclose()
            await self._owner.leave(self._generation)
