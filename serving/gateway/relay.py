"""Carrying one request to the engine and its answer back, token by token, until either side is gone.

An engine that fails before the first byte gives an HTTP error; one that breaks off in a stream gives a last event
``{"error": …}``, which OpenAI's clients raise. A client that is gone cancels the engine's work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import aiohttp
from starlette.responses import Response

from serving.access.interface import Budget
from serving.errors import EngineError, RequestError
from serving.gateway.engine import UNREACHABLE, Engine
from serving.gateway.limits import Limits
from serving.gateway.metering import Meter
from serving.gateway.replies import engine_failed, engine_loading, error_body, error_headers
from serving.gateway.requests import EngineRequest

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

_EVENT_END, _DONE = b"\n\n", b"data: [DONE]"
_MAX_MESSAGE = 300


class Relay(Response):  # type: ignore[misc]  # starlette ships no types on the development host
    """The answer to one judged request. FastAPI calls it as it calls every response."""

    def __init__(self, engine: Engine, request: EngineRequest, *, budget: Budget, limits: Limits) -> None:
        super().__init__()
        self._engine, self._request, self._limits = engine, request, limits
        self._meter = Meter(budget, request)

    async def __call__(self, _: Message, receive: Receive, send: Send) -> None:
        """Carry the answer until it ends or the client is gone."""
        carrying = asyncio.ensure_future(self._carry(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({carrying, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (carrying, leaving):
                task.cancel()
            await asyncio.wait({carrying, leaving})
        if not carrying.cancelled():
            carrying.result()

    async def _carry(self, send: Send) -> None:
        started = False
        try:
            with self._meter:
                async with self._engine.ask(self._request) as answer:
                    await self._refuse_failure(answer)
                    if not self._request.stream:
                        body = await self._whole(answer)
                        return await self._send_all(send, 200, {"content-type": "application/json"}, body)
                    _require_events(answer)
                    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
                    await self._send(send, _start(200, headers))
                    started = True
                    await self._stream(answer, send)
        except RequestError as error:
            await self._send_all(send, error.status, error_headers(error), error_body(error))
        except (*UNREACHABLE, EngineError) as error:
            await self._fail(error, send, started=started)

    async def _stream(self, answer: aiohttp.ClientResponse, send: Send) -> None:
        """Forward whole events only: a half one before an error would be a syntax error to the client."""
        last = b""
        async for events in _whole_events(answer, self._limits.event_bytes):
            last = events
            if seen := self._meter.events(events):
                await self._send(send, _more(seen))
        if not last.rstrip().endswith(_DONE):
            raise EngineError("the stream ended early")
        await self._send(send, _more(b"", last=True))

    async def _whole(self, answer: aiohttp.ClientResponse) -> bytes:
        value = await self._engine.read(answer)
        self._meter.whole(value)
        return json.dumps(value, ensure_ascii=False).encode()

    async def _refuse_failure(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status == 200:
            return
        if answer.status == 503:
            self._engine.lost()
            raise engine_loading()
        if not 400 <= answer.status < 500:
            raise engine_failed()
        raise _engine_refusal(await self._engine.read(answer))

    async def _fail(self, error: Exception, send: Send, *, started: bool) -> None:
        """Tell the client that the engine is gone, silent, or talking nonsense."""
        if isinstance(error, (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            self._engine.lost()
        if started:
            with suppress(TimeoutError):
                await self._send(send, _more(b"data: " + error_body(engine_failed()) + _EVENT_END, last=True))
            return
        refusal = engine_failed()
        if isinstance(error, aiohttp.ClientOSError):
            refusal = engine_loading()
        elif isinstance(error, TimeoutError):
            refusal = engine_failed(504)
        await self._send_all(send, refusal.status, error_headers(refusal), error_body(refusal))

    async def _send_all(self, send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
        await self._send(send, _start(status, {**headers, "content-length": str(len(body))}))
        await self._send(send, _more(body, last=True))

    async def _send(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._limits.client_stall_seconds):
            await send(message)


async def _whole_events(answer: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    waiting = b""
    async for chunk in answer.content.iter_any():
        waiting += chunk
        end = waiting.rfind(_EVENT_END)
        if end >= 0:
            end += len(_EVENT_END)
            yield waiting[:end]
            waiting = waiting[end:]
        if len(waiting) > limit:
            raise EngineError("an event is too long")
    if waiting.strip():
        raise EngineError("the stream ended within an event")


async def _gone(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _require_events(answer: aiohttp.ClientResponse) -> None:
    if answer.content_type != "text/event-stream":
        raise EngineError("a stream was asked for, and something else came")


def _engine_refusal(value: dict[str, Any]) -> RequestError:
    """Translate the engine's refusal of a request; its text goes to the one who sent the request, and nowhere else."""
    error = value.get("error")
    fields = error if isinstance(error, dict) else {}
    message = fields.get("message")
    text = message[:_MAX_MESSAGE] if isinstance(message, str) else "The engine refused the request."
    if fields.get("type") == "exceed_context_size_error":
        return _too_long(fields.get("n_prompt_tokens"), fields.get("n_ctx"))
    if fields.get("param") == "input_tokens":  # vLLM's way of saying the same
        return RequestError("context_length_exceeded", text)
    return RequestError("invalid_value", text)


def _too_long(given: object, limit: object) -> RequestError:
    known = isinstance(given, int) and isinstance(limit, int)
    text = f"The prompt has {given} tokens; this model takes {limit} in all." if known else "The prompt is too long."
    return RequestError("context_length_exceeded", text)


def _start(status: int, headers: dict[str, str]) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


def _more(body: bytes, *, last: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": not last}
