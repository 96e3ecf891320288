"""Carrying one request to the engine and its answer back, token by token, until either side is gone.

What fails before the first byte is an HTTP error; afterwards it is a stream's last event, ``{"error": …}``, which
OpenAI's clients raise. A stream in its shape has its first byte at the first tick, also while the engine has said
nothing: some begin to answer with the first token only, and how long that took is the prompt's length and the queue's.
A client that is gone cancels the engine's work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.responses import Response

from serving.access.interface import Budget
from serving.errors import EngineError, RequestError
from serving.gateway.asgi import Message, Receive, Send
from serving.gateway.engine import UNREACHABLE, Engine
from serving.gateway.features import unsupported_route
from serving.gateway.limits import Limits
from serving.gateway.metering import Meter
from serving.gateway.metrics import Metrics
from serving.gateway.outgoing import Outgoing
from serving.gateway.paced import paced
from serving.gateway.replies import engine_failed, engine_loading, error_body, refusal, whole
from serving.gateway.rules import EngineRequest
from serving.gateway.shaping import Shape

_FAILURES = (RequestError, *UNREACHABLE, EngineError)
_EVENT_END, _DONE = b"\n\n", b"data: [DONE]"
_ERROR = b'data: {"error":'
"""How vLLM's server begins to tell of a core that died. Within a JSON text the quotes would be escaped."""
_MAX_MESSAGE = 300
_NOT_THERE = {404, 405, 501}
"""How engines say that a route, or what it needs of the model, is not there."""
_TOO_LARGE = "too large to process"
"""How llama.cpp says, in an error 500, that a text is longer than the context of a model for embeddings."""


@dataclass(frozen=True, slots=True)
class Way:
    """How every answer is carried: within which bounds, in which shape, and which figures it is counted in."""

    limits: Limits
    shape: Shape | None
    metrics: Metrics


class Relay(Response):  # type: ignore[misc]  # starlette ships no types on the development host
    """The answer to one judged request. Starlette calls it as it calls every response."""

    def __init__(self, engine: Engine, request: EngineRequest, *, budget: Budget, way: Way) -> None:
        super().__init__()
        self._engine, self._request, self._meter = engine, request, Meter(budget, request)
        self._limits, self._shape, self._metrics = way.limits, way.shape, way.metrics
        self._began = asyncio.get_running_loop().time()
        self._started = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Carry the answer until it ends or the client is gone."""
        outgoing = Outgoing(send, self._limits.client_stall_seconds)
        carrying = asyncio.ensure_future(self._carry(outgoing, scope, receive))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            done: set[asyncio.Future[None]] = set()
            while not done and (left := outgoing.left()) > 0:
                done, _ = await asyncio.wait({carrying, leaving}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (carrying, leaving):
                task.cancel()
            await asyncio.wait({carrying, leaving})
        if not carrying.cancelled():
            carrying.result()

    async def _carry(self, send: Send, scope: Message, receive: Receive) -> None:
        try:
            with self._meter, self._metrics.request():
                if self._request.stream:
                    return await self._stream(send)
                async with self._asked() as answer:
                    value = await self._whole(answer)
            body = json.dumps(value, ensure_ascii=False).encode(errors="replace")
            reply = whole(body, 200, {"content-type": "application/json"}, self._shape)
        except _FAILURES as error:
            if self._started:  # the client is gone: what the engine did is an event of the stream
                return None
            reply = refusal(self._failure(error), self._shape)
        await self._until_due()
        await reply(scope, receive, send)
        return None

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the engine's answer once it has not refused.

        Raises:
            RequestError: it has.
            EngineError: what it says is no answer; UNREACHABLE likewise: it is not there.
        """
        async with self._engine.ask(self._request) as answer:
            self._request = self._request.sent()
            await self._refuse_failure(answer)
            yield answer

    async def _whole(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        value = await self._engine.read(answer)
        self._meter.whole(value)
        usage = value.get("usage")
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        self._metrics.tokens(tokens if isinstance(tokens, int) else 0)
        return self._request.answer(value) if self._request.answer else value

    async def _stream(self, send: Send) -> None:
        """Forward whole events only: a half one before an error would be a syntax error to the client."""
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
        records: AsyncGenerator[bytes] = self._events()
        if self._shape:
            headers = self._shape.pad_head(200, headers)
            records = paced(records, self._shape, self._began, most=self._limits.event_bytes)
        async with aclosing(records):
            async for record in records:
                if not self._started:
                    self._started = True
                    await send(_start(200, headers))
                await send(_more(record))
                del record
        await send(_more(b"", last=True))

    async def _events(self) -> AsyncGenerator[bytes]:
        """Yield the engine's events; once the client has a part of the answer, a refusal or failure is the last one."""
        translate, begun = self._request.events() if self._request.events else None, False
        try:
            async with self._asked() as answer:
                _require_events(answer)
                async for events in _whole_events(answer, self._limits.event_bytes):
                    begun = True
                    count = events.count(_EVENT_END)
                    self._metrics.tokens(count)
                    if seen := self._meter.events(events, count):
                        yield translate(seen) if translate else seen
        except _FAILURES as error:
            if not self._started:
                raise
            self._meter.failed(error)
            told = self._failure(error)
            # Of an engine that broke off nobody should think that it had not begun.
            yield b"data: " + error_body(engine_failed() if begun else told) + _EVENT_END

    async def _refuse_failure(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status == 200:
            return
        if answer.status == 503:
            self._engine.lost()
            raise engine_loading()
        if answer.status in _NOT_THERE:
            raise unsupported_route()
        if answer.status == 500:
            raise _engine_fault(await self._engine.read(answer))
        if not 400 <= answer.status < 500:
            raise engine_failed()
        raise _engine_refusal(await self._engine.read(answer))

    def _failure(self, error: Exception) -> RequestError:
        """Return what to tell of an engine that refused, is gone, silent, or talks nonsense; one gone is marked so."""
        if isinstance(error, RequestError):
            return error
        if isinstance(error, (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            self._engine.lost()
        if isinstance(error, aiohttp.ClientOSError):
            return engine_loading()
        return engine_failed(504) if isinstance(error, TimeoutError) else engine_failed()

    async def _until_due(self) -> None:
        """Wait for the instant at which a whole answer may leave."""
        if self._shape:
            step = self._shape.end if self._request.generates else self._shape.tick
            await asyncio.sleep(self._shape.wait(self._began, asyncio.get_running_loop().time(), step))


async def _whole_events(answer: aiohttp.ClientResponse, limit: int) -> AsyncGenerator[bytes]:
    waiting = last = b""
    async for chunk in answer.content.iter_any():
        waiting += chunk
        end = waiting.rfind(_EVENT_END)
        if end >= 0:
            end += len(_EVENT_END)
            last, waiting = waiting[:end], waiting[end:]
            said, failed, _ = last.partition(_ERROR)
            yield said
            if failed:
                raise EngineError("the engine failed while answering")
        if len(waiting) > limit:
            raise EngineError("an event is too long")
    if waiting.strip() or not last.rstrip().endswith(_DONE):
        raise EngineError("the stream ended early")


async def _gone(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _require_events(answer: aiohttp.ClientResponse) -> None:
    if answer.content_type != "text/event-stream":
        raise EngineError("a stream was asked for, and something else came")


def _engine_fault(value: dict[str, Any]) -> RequestError:
    error = value.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    too_long = isinstance(message, str) and _TOO_LARGE in message
    return _too_long(None, None) if too_long else engine_failed()


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
