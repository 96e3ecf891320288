"""Talking to the engine over its UNIX socket: one HTTP request, one answer, a probe that wants a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from serving.errors import EngineError
from serving.gateway.limits import Limits
from serving.gateway.rules import EngineRequest
from serving.task import probe, require_answer

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
"""What aiohttp raises when the other side is not there, breaks off, is silent, or does not speak HTTP."""

NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""What it raises of these before a byte of a request has left."""


# The connection that this task asks on: with a short answer it is free for others before its status can be looked at.
_USED: ContextVar[ResponseHandler] = ContextVar("_USED")


class Engine:
    """The engine behind one UNIX socket, and whether it has answered lately."""

    def __init__(self, path: Path, limits: Limits, *, task: str, keep: bool) -> None:
        self._path, self._limits, self._task = str(path), limits, task
        timeout = aiohttp.ClientTimeout(
            total=None,  # aiohttp's would look at it anew for each token
            sock_connect=limits.engine_connect_seconds,
            sock_read=limits.engine_silence_seconds,
        )
        self._session = aiohttp.ClientSession(
            connector=_connector(self._path, limits, keep=keep),
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
        self.ready = False
        self._lost = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Return the engine; leaving the block closes its connections."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._session.close()

    @asynccontextmanager
    async def ask(self, request: EngineRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; leaving the block early closes the connection, which cancels the engine's work."""
        # The host name is a formality: the connector knows one place only.
        asked = self._session.post(
            f"http://engine{request.path}",
            data=request.body,
            headers={"content-type": "application/json"},
            allow_redirects=False,
        )
        del request  # its body is needed until the engine answers, and no longer
        async with asyncio.timeout(self._limits.engine_total_seconds), asked as answer:
            if answer.status != HTTPStatus.OK:
                _USED.get().force_close()  # vLLM answers some mistakes, and hangs up behind them without a word
            try:
                yield answer
            finally:
                if not answer.content.at_eof():
                    answer.close()

    async def read(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        """Read a whole answer as a JSON object.

        Raises:
            EngineError: when it is too long or no JSON object; the message holds nothing of it.
        """
        data = bytearray()
        async for chunk in answer.content.iter_any():
            data += chunk
            if len(data) > self._limits.answer_bytes:
                raise EngineError("the answer is too long")
        try:
            value = json.loads(bytes(data))
        except (ValueError, RecursionError):
            raise EngineError("the answer is not JSON") from None  # the cause would quote it
        if not isinstance(value, dict):
            raise EngineError("the answer is not a JSON object")
        return value

    def lost(self) -> None:
        """Take the engine for gone until the next probe succeeds."""
        self.ready = False
        self._lost.set()

    async def watch(self) -> None:
        """Probe until the engine answers; then wait until it is gone, and probe again. For ever."""
        while True:
            try:
                async with asyncio.timeout(self._limits.probe_seconds):
                    await self._probe()
            except (*UNREACHABLE, EngineError):
                await asyncio.sleep(self._limits.probe_pause_seconds)
                continue
            self._lost.clear()
            self.ready = True
            with suppress(OSError):
                await self._until_gone()
            self.lost()

    async def _until_gone(self) -> None:
        """Hold a connection that says nothing, because a process that dies closes it; return when somebody says lost.

        Engines close idle connections as well: what tells is that a new one cannot be had.

        Raises:
            OSError: the engine does not listen any more.
        """
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            while not lost.done():
                reader, writer = await asyncio.open_unix_connection(self._path)
                ended = asyncio.ensure_future(_ended(reader))
                try:
                    await asyncio.sleep(self._limits.hold_pause_seconds)
                    await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ended.cancel()
                    writer.transport.abort()
        finally:
            lost.cancel()

    async def _probe(self) -> None:
        """Require a real answer: a health page can be green while the model is broken."""
        path, body = probe(self._task)
        async with self.ask(EngineRequest("", path, body, stream=False)) as answer:
            value = await self.read(answer)
        if answer.status != HTTPStatus.OK:
            raise EngineError("the probe was refused")
        require_answer(self._task, value)


class _Quiet(aiohttp.UnixConnector):  # type: ignore[misc]  # aiohttp is not installed on the development host
    """Uses no connection again on which an engine has said more than an answer, which would be the next caller's.

    A task that asks is told which connection it got.
    """

    async def connect(self, *asked: Any, **how: Any) -> Connection:
        """Return a connection on which nothing waits."""
        while True:
            connection = await super().connect(*asked, **how)
            if connection.protocol is None or not connection.protocol.should_close:
                _USED.set(connection.protocol)
                return connection
            connection.close()


def _connector(path: str, limits: Limits, *, keep: bool) -> aiohttp.UnixConnector:
    """Use a connection again only long before the engine would close it: a request must not meet its end."""
    if keep:
        return _Quiet(path, limit=0, keepalive_timeout=limits.engine_idle_seconds)
    return _Quiet(path, limit=0, force_close=True)


async def _ended(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        await reader.read(1)
