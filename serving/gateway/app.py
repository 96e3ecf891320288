"""The routes. What is not here does not exist: no documentation, no metrics, no debugging page."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving.errors import RequestError
from serving.gateway.attester import AttesterClient, EvidenceRoute
from serving.gateway.engine import Engine
from serving.gateway.limits import Limits
from serving.gateway.relay import Message, Receive, Relay, Send
from serving.gateway.replies import busy, engine_failed, engine_loading, error_body, error_headers
from serving.gateway.requests import EngineRequest, chat_request, completion_request, model_not_found

_NO_STORE = {"content-type": "application/json", "cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes are made of."""

    engine: Engine
    attester: AttesterClient
    model: str
    limits: Limits


def create_app(parts: Parts) -> FastAPI:
    """Make the application: an allow-list of routes, and OpenAI's errors for everything else."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    routes = Routes(parts)
    for path, method, handler in (
        ("/healthz", "GET", routes.health),
        ("/v1/models", "GET", routes.models),
        ("/v1/models/{name}", "GET", routes.model),
        ("/v1/chat/completions", "POST", routes.chat),
        ("/v1/completions", "POST", routes.completion),
        ("/.well-known/attestation/activate", "POST", routes.activate),
    ):
        app.add_api_route(path, handler, methods=[method], response_model=None)
    app.add_route("/.well-known/attestation", EvidenceRoute(parts.attester), methods=["GET"])
    app.add_exception_handler(RequestError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(Exception, _refuse_fault)
    return app


class Routes:
    """One method a route."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._slots = asyncio.Semaphore(parts.limits.requests)
        self._received = 0

    async def health(self) -> Response:
        """Say that the gateway lives, and whether the engine has answered."""
        state = "ready" if self._parts.engine.ready else "loading"
        return _json({"status": "ok", "engine": state})

    async def models(self) -> Response:
        """Name the one model; the gateway knows it, the engine is not asked."""
        return _json({"object": "list", "data": [self._model()]})

    async def model(self, name: str) -> Response:
        """Describe the model of that name."""
        if name != self._parts.model:
            raise model_not_found(self._parts.model)
        return _json(self._model())

    async def chat(self, request: Request) -> Response:
        """Answer ``POST /v1/chat/completions``."""
        data = await self._body(request)
        return self._relay(chat_request(data, model=self._parts.model, limits=self._parts.limits))

    async def completion(self, request: Request) -> Response:
        """Answer ``POST /v1/completions``."""
        data = await self._body(request)
        return self._relay(completion_request(data, model=self._parts.model, limits=self._parts.limits))

    async def activate(self, request: Request) -> Response:
        """Answer ``POST /.well-known/attestation/activate``."""
        return Response(await self._parts.attester.activate(await self._body(request)), headers=_NO_STORE)

    def _model(self) -> dict[str, object]:
        return {"id": self._parts.model, "object": "model", "created": 0, "owned_by": "vitrine"}

    def _relay(self, request: EngineRequest) -> Response:
        if not self._parts.engine.ready:
            raise engine_loading()
        return _Bounded(self._slots, Relay(self._parts.engine, request, limits=self._parts.limits))

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
