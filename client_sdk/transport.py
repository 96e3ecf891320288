"""The channel to verified nodes: stock HTTP transports that connect through the fleet (rules C3, C4, C7).

(C3) Requests go to the origin that was given, over TLS 1.3, to nodes that were verified, judged on every connection.
(C4) Another connection is tried where one failed *before* anything of the request was on it, a small number of times;
nothing else leads to a second try: once bytes may have left, an error stays an error.
(C7) Connections made under an old verdict take no new request, and are closed when their last answer is read.
"""

from __future__ import annotations

import httpcore2
import httpx2

from client_sdk.backends import AsyncAttestingBackend, AttestingBackend, one_request, trusting_nobody
from client_sdk.fleet import Fleet, NotAdmittedError

_KEPT = 20  # connections that wait for a request, for up to so many seconds:
_EXPIRY = 5.0
# These are raised while connecting and never later: nothing of the request has been sent.
_UNSENT = (NotAdmittedError, httpx2.ConnectError, httpx2.ConnectTimeout)


class _Stock(httpx2.HTTPTransport):
    """The stock transport over our backend. Should it ever ignore that, its context trusts nobody."""

    def __init__(self, backend: AttestingBackend) -> None:
        super().__init__(verify=trusting_nobody(), trust_env=False)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=trusting_nobody(),
            max_connections=None,  # nothing waits in a queue
            max_keepalive_connections=_KEPT,
            keepalive_expiry=_EXPIRY,
            network_backend=backend,
        )


class _AsyncStock(httpx2.AsyncHTTPTransport):
    """The same, asynchronous."""

    def __init__(self, backend: AsyncAttestingBackend) -> None:
        super().__init__(verify=trusting_nobody(), trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trusting_nobody(),
            max_connections=None,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=_EXPIRY,
            network_backend=backend,
        )


class AttestedTransport(httpx2.BaseTransport):
    """Sends requests to verified nodes of the fleet's origin."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self._stock = fleet, _Stock(AttestingBackend(fleet))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; verify the node first where that is due.

        Raises:
            AttestationError: no node was admitted; nothing of the request was sent.
        """
        self.fleet.refuse_elsewhere(request.url.scheme, request.url.host, request.url.port)
        with one_request() as attempts:
            while True:
                try:
                    answer = self._stock.handle_request(request)
                except _UNSENT as error:
                    attempts.failed(error)
                else:
                    self.fleet.answered(answer.extensions["network_stream"].verdict)
                    return answer

    def close(self) -> None:
        """Close every connection."""
        self._stock.close()


class AsyncAttestedTransport(httpx2.AsyncBaseTransport):
    """The same for asynchronous clients; verification runs in a thread. One event loop uses it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self._stock = fleet, _AsyncStock(AsyncAttestingBackend(fleet))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; verify the node first where that is due.

        Raises:
            AttestationError: no node was admitted; nothing of the request was sent.
        """
        self.fleet.refuse_elsewhere(request.url.scheme, request.url.host, request.url.port)
        with one_request() as attempts:
            while True:
                try:
                    answer = await self._stock.handle_async_request(request)
                except _UNSENT as error:
                    attempts.failed(error)
                else:
                    self.fleet.answered(answer.extensions["network_stream"].verdict)
                    return answer

    async def aclose(self) -> None:
        """Close every connection."""
        await self._stock.aclose()
