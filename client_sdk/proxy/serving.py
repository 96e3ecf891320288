"""Running the proxy until it is told to end; no line about a request is written anywhere (rule C8)."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from client_sdk.proxy.app import Proxy
from client_sdk.proxy.door import Door
from client_sdk.proxy.upstreams import Upstream, Upstreams

_FINISH = 5  # seconds: how long answers in the making may take when the proxy is told to end
_CONNECTIONS = 512
_HEAD = 64 * 1024


class _Server(uvicorn.Server):  # type: ignore[misc]  # its types are not read: the image has another version
    """Ends in order when it is told to: the library would send itself the signal once more, and die of it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals for as long as it serves."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def serve(listening: socket.socket, door: Door, services: tuple[Upstream, ...]) -> None:
    """Answer callers until SIGINT or SIGTERM."""
    asyncio.run(_serve(listening, door, services))


async def _serve(listening: socket.socket, door: Door, services: tuple[Upstream, ...]) -> None:
    logger = logging.getLogger("uvicorn")  # its tracebacks would show what an exception quotes
    logger.propagate, logger.handlers = False, [logging.NullHandler()]
    upstreams = Upstreams(services)
    settings = uvicorn.Config(
        Proxy(door, upstreams),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEAD,
        timeout_graceful_shutdown=_FINISH,
    )
    try:
        await _Server(settings).serve(sockets=[listening])
    finally:
        await upstreams.close()
