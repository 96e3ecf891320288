"""Talking to the engine over its UNIX socket: one HTTP request, one answer, a probe that asks for a real token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from serving.errors import EngineError
from serving.gateway.limits import Limits
from serving.gateway.rules import EngineRequest

_PROBE = EngineRequest(
    "", "/v1/completions", b'{"prompt":"Hi","max_tokens":1,"temperature":0,"stream":false}', stream=False
)
_MAX_PROBE_TOKENS = 2
UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
"""What aiohttp raises when the other side is not there, breaks off, is silent, or does not speak HTTP."""


class Engine:
    """The engine behind one UNIX socket, and whether it has answered lately."""

    def __init__(self, path: Path, limits: Limits, *, keep: bool) -> None:
        self._path, self._limits = str(path), limits
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
        async with asyncio.timeout(self._limits.engine_total_seconds), asked as answer:
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
        """Require a real answer of one or two tokens: a health page can be green while the model is broken."""
        async with self.ask(_PROBE) as answer:
            value = await self.read(answer)
        usage, choices = value.get("usage"), value.get("choices")
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        if answer.status != 200 or not choices or not isinstance(tokens, int) or not 1 <= tokens <= _MAX_PROBE_TOKENS:
            raise EngineError("the probe was not answered with a token")


def _connector(path: str, limits: Limits, *, keep: bool) -> aiohttp.UnixConnector:
    """Use a connection again only long before the engine would close it: a request must not meet its end."""
    if keep:
        return aiohttp.UnixConnector(path, limit=0, keepalive_timeout=limits.engine_idle_seconds)
    return aiohttp.UnixConnector(path, limit=0, force_close=True)


async def _ended(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        await reader.read(1)
