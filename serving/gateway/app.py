"""The routes. What is not here does not exist: no documentation, no metrics, no debugging page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving.access.clock import Clock
from serving.access.interface import Access, Caller
from serving.errors import RequestError
from serving.gateway.attester import AttesterClient
from serving.gateway.engine import Engine
from serving.gateway.limits import Limits
from serving.gateway.relay import Message, Receive, Relay, Send
from serving.gateway.replies import busy, engine_failed, engine_loading, error_body, error_headers
from serving.gateway.requests import EngineRequest, chat_request, completion_request, model_not_found

_NO_STORE = {"content-type": "application/json", "cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes are made of."""

    engines: Mapping[str, Engine]
    attester: AttesterClient
    access: Access
    limits: Limits


def create_app(parts: Parts) -> FastAPI:
    """Make the application: an allow-list of routes, and OpenAI's errors for everything else."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    routes, door = Routes(parts), _Door(parts.access)
    for path, method, handler in (
        ("/healthz", "GET", routes.health),
        ("/v1/models", "GET", door.before(routes.models)),
        ("/v1/models/{name}", "GET", door.before(routes.model)),
        ("/v1/chat/completions", "POST", door.before(routes.chat)),
        ("/v1/completions", "POST", door.before(routes.completion)),
        ("/.well-known/attestation", "GET", routes.evidence),
        ("/.well-known/attestation/activate", "POST", routes.activate),
    ):
        app.add_api_route(path, handler, methods=[method], response_model=None)
    app.add_exception_handler(RequestError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(Exception, _refuse_fault)
    return app


class _Door:
    """Judges who asks before a route begins: a handler behind it cannot be called without a caller."""

    def __init__(self, access: Access) -> None:
        self._access, self._clock = access, Clock()

    def before(self, handler: Callable[[Request, Caller], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        """Return the route: no byte of a body is read for whoever is refused."""

        async def judged(request: Request) -> Response:
            return await handler(request, self._access.judge(request.scope["headers"], self._clock.now()))

        return judged


class Routes:
    """One method a route."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._slots = asyncio.Semaphore(parts.limits.requests)
        self._received = 0

    async def health(self) -> Response:
        """Say that the gateway lives, and whether every engine has answered."""
        state = "ready" if all(engine.ready for engine in self._parts.engines.values()) else "loading"
        return _json({"status": "ok", "engine": state})

    async def models(self, _: Request, caller: Caller) -> Response:
        """Name the models that the caller may use; the gateway knows them, no engine is asked."""
        allowed = [name for name in self._parts.engines if name in caller.models]
        return _json({"object": "list", "data": [_model(name) for name in allowed]})

    async def model(self, request: Request, caller: Caller) -> Response:
        """Describe the model of that name."""
        name = request.path_params["name"]
        if name not in self._parts.engines:
            raise model_not_found(self._parts.engines)
        caller.require(name)
        return _json(_model(name))

    async def chat(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/chat/completions``."""
        data = await self._body(request)
        return self._relay(chat_request(data, models=self._parts.engines, limits=self._parts.limits), caller)

    async def completion(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/completions``."""
        data = await self._body(request)
        return self._relay(completion_request(data, models=self._parts.engines, limits=self._parts.limits), caller)

    async def evidence(self, request: Request) -> Response:
        """Answer ``GET /.well-known/attestation?nonce=``."""
        return Response(await self._parts.attester.evidence(request.scope["query_string"]), headers=_NO_STORE)

    async def activate(self, request: Request) -> Response:
        """Answer ``POST /.well-known/attestation/activate``."""
        return Response(await self._parts.attester.activate(await self._body(request)), headers=_NO_STORE)

    def _relay(self, request: EngineRequest, caller: Caller) -> Response:
        caller.require(request.model)
        engine = self._parts.engines[request.model]
        if not engine.ready:
            raise engine_loading()
        return _Bounded(self._slots, Relay(engine, request, budget=caller.budget, limits=self._parts.limits))

    async def _body(self, request: Request) -> bytes:
        limit = self._parts.limits.body_bytes
        too_large = RequestError("body_too_large", f"The body has more than {limit} bytes.", status=413)
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > limit:
            raise too_large
        data = bytearray()
        try:
            async with asyncio.timeout(self._parts.limits.body_seconds):
                async for chunk in request.stream():
                    self._received += len(chunk)
                    data += chunk
                    if len(data) > limit:
                        raise too_large
                    if self._received > self._parts.limits.bodies_bytes:
                        raise busy()
        except TimeoutError as error:
            raise RequestError("body_timeout", "The body did not arrive in time.", status=408) from error
        finally:
            self._received -= len(data)
        return bytes(data)


class _Bounded(Response):  # type: ignore[misc]  # starlette ships no types on the development host
    """A relay that holds one of the slots while it lasts; without a free one the client is told to wait."""

    def __init__(self, slots: asyncio.Semaphore, relay: Relay) -> None:
        super().__init__()
        self._slots, self._relay = slots, relay
        if slots.locked():
            raise busy()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async with self._slots:
            await self._relay(scope, receive, send)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "vitrine"}


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type="application/json")


async def _refuse(_: Request, error: RequestError) -> Response:
    return Response(error_body(error), status_code=error.status, headers=error_headers(error))


async def _refuse_route(request: Request, error: HTTPException) -> Response:
    known = "This method is not allowed here." if error.status_code == 405 else "There is nothing here."
    return await _refuse(request, RequestError("not_found", known, status=error.status_code))


async def _refuse_fault(request: Request, _: Exception) -> Response:
    """Answer a fault of our own without a word about it: its text may hold a piece of the request."""
    return await _refuse(request, engine_failed(500))
