"""The routes' handlers. What is not on the list does not exist: no documentation, no debugging page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.access.clock import Clock
from serving.access.interface import Access, Caller
from serving.errors import RequestError
from serving.gateway.asgi import Message, Receive, Send
from serving.gateway.attester import MAX_ACTIVATION, AttesterClient
from serving.gateway.callers import sender_of
from serving.gateway.engine import Engine
from serving.gateway.inputs import detokenize_request, embedding_request, tokenize_request
from serving.gateway.receiving import receive_body
from serving.gateway.relay import Relay, Way
from serving.gateway.replies import engine_failed, engine_loading, refusal
from serving.gateway.requests import chat_request, completion_request
from serving.gateway.responses import response_request
from serving.gateway.routes import METRICS, ROUTES
from serving.gateway.rules import EngineRequest, Rules, model_not_found
from serving.gateway.salt import Salts
from serving.gateway.shaping import Shape
from serving.gateway.shares import Shares

_NO_STORE = {"content-type": "application/json", "cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes are made of."""

    engines: Mapping[str, Engine]
    way: Way
    attester: AttesterClient
    access: Access
    rules: Rules
    salts: Salts
    metrics: bool


def create_app(parts: Parts) -> Starlette:
    """Make the application: an allow-list of routes, and OpenAI's errors for everything else."""
    answers, door, refuse = Routes(parts), _Door(parts.access), Refuse(parts.way.shape)
    routes = []
    for route in (*ROUTES, METRICS) if parts.metrics else ROUTES:
        handler = getattr(answers, route.handler)
        answer = handler if route.open else door.before(handler)
        routes.append(Route(route.path, Endpoint(route.method, answer)))
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    app.add_exception_handler(RequestError, refuse.request)
    app.add_exception_handler(HTTPException, refuse.route)
    app.add_exception_handler(Exception, refuse.fault)
    return app


class Endpoint:
    """A route as ASGI has it."""

    def __init__(self, method: str, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self.method, self._answer = method, answer

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; HEAD, which Starlette takes for a kind of GET, is a method like any other."""
        if scope["method"] != self.method:
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": self.method})
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)


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
        self._parts, self._rules, self._limits = parts, parts.rules, parts.rules.limits
        self._slots, self._bodies = Shares(self._limits.requests), Shares(self._limits.bodies_bytes)

    async def health(self, _: Request) -> Response:
        """Say that the gateway lives, and whether every engine has answered."""
        state = "ready" if all(engine.ready for engine in self._parts.engines.values()) else "loading"
        return _json({"status": "ok", "engine": state})

    async def models(self, _: Request, caller: Caller) -> Response:
        """Name the models that the caller may use; the gateway knows them, no engine is asked."""
        return _json({"object": "list", "data": [_model(name) for name in self._allowed(caller)]})

    async def model(self, request: Request, caller: Caller) -> Response:
        """Describe the model of that name."""
        name = request.path_params["name"]
        if name not in self._allowed(caller):
            raise model_not_found(self._allowed(caller))
        return _json(_model(name))

    async def chat(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/chat/completions``."""
        return await self._ask(partial(chat_request, salt=self._salt(caller)), request, caller)

    async def completion(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/completions``."""
        return await self._ask(partial(completion_request, salt=self._salt(caller)), request, caller)

    async def response(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/responses``."""
        return await self._ask(partial(response_request, salt=self._salt(caller)), request, caller)

    async def embedding(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/embeddings``."""
        return await self._ask(partial(embedding_request, salt=self._salt(caller)), request, caller)

    async def tokenize(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/tokenize``."""
        return await self._ask(tokenize_request, request, caller)

    async def detokenize(self, request: Request, caller: Caller) -> Response:
        """Answer ``POST /v1/detokenize``."""
        return await self._ask(detokenize_request, request, caller)

    async def metrics(self, _: Request) -> Response:
        """Answer ``GET /metrics``."""
        return Response(self._parts.way.metrics.page(), media_type="text/plain; version=0.0.4")

    async def evidence(self, request: Request) -> Response:
        """Answer ``GET /.well-known/attestation?nonce=``."""
        return await self._parts.attester.evidence(request.scope)

    async def activate(self, request: Request) -> Response:
        """Answer ``POST /.well-known/attestation/activate``."""
        # So little that every connection may hold it: it takes nothing from what callers with a token share.
        body = await receive_body(request, limit=MAX_ACTIVATION, seconds=self._limits.body_seconds, take=lambda _: None)
        return Response(await self._parts.attester.activate(request.scope, body), headers=_NO_STORE)

    def _allowed(self, caller: Caller) -> list[str]:
        return [name for name in self._parts.engines if name in caller.models]

    def _salt(self, caller: Caller) -> str:
        return self._parts.salts.salt(caller.subject)

    async def _ask(self, judge: Callable[[bytes, Rules], EngineRequest], request: Request, caller: Caller) -> Response:
        """Answer by the engine of the model that a judged request names."""
        judged = judge(await self._body(request, caller), self._rules.within(caller.models))
        engine = self._parts.engines[judged.model]
        if not engine.ready:
            raise engine_loading()
        relay = Relay(engine, judged, budget=caller.budget, way=self._parts.way)
        return _Bounded(self._slots, _sharer(request, caller), relay)

    async def _body(self, request: Request, caller: Caller) -> bytes:
        limits = self._limits
        with self._bodies.holding(_sharer(request, caller)) as take:
            return await receive_body(request, limit=limits.body_bytes, seconds=limits.body_seconds, take=take)


def _sharer(request: Request, caller: Caller) -> str:
    """Name whom the request's share is counted to: the subject, or where nobody is told apart, the network."""
    return caller.subject if caller.known else sender_of(request.scope)


class _Bounded(Response):  # type: ignore[misc]  # starlette ships no types on the development host
    """A relay that holds one of the slots while it lasts; without one for this caller he is told to wait."""

    def __init__(self, slots: Shares, sharer: str, relay: Relay) -> None:
        super().__init__()
        self._slots, self._sharer, self._relay = slots, sharer, relay

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        with self._slots.holding(self._sharer) as take:
            take(1)
            await self._relay(scope, receive, send)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "vitrine"}


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type="application/json")


class Refuse:
    """Answers that are refusals before the engine was asked; those of the API leave at the first tick."""

    def __init__(self, shape: Shape | None) -> None:
        self._shape = shape

    async def request(self, request: Request, error: RequestError) -> Response:
        """Say what is wrong with the request."""
        return await self._answer(request, error)

    async def route(self, request: Request, error: HTTPException) -> Response:
        """Say that there is no such route."""
        known = "This method is not allowed here." if error.status_code == 405 else "There is nothing here."
        refused = RequestError("not_found", known, status=error.status_code)
        return await self._answer(request, refused, (error.headers or {}).get("Allow", ""))

    async def fault(self, request: Request, _: Exception) -> Response:
        """Answer a fault of our own without a word about it: its text may hold a piece of the request."""
        return await self._answer(request, engine_failed(500))

    async def _answer(self, request: Request, error: RequestError, allow: str = "") -> Response:
        if self._shape is None or not request.url.path.startswith("/v1/"):
            return refusal(error, None, allow)
        await asyncio.sleep(self._shape.tick)
        return refusal(error, self._shape, allow)
