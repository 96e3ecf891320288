"""The proxy as an ASGI application: the door, one way for every request, and nothing written down.

A request goes to the first service that has its model and admits it. The next is tried only where nothing of the
request was sent (C7): refused evidence, or no connection. Once bytes may have left, an error stays an error, and an
answer that breaks off breaks off here as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx2

from client_sdk.errors import AttestationError, FetchError
from client_sdk.proxy.crossing import MAX_BODY, downwards, target, upwards
from client_sdk.proxy.door import Door
from client_sdk.proxy.refusals import Refusal, json_headers, not_admitted
from client_sdk.proxy.upstreams import Upstream, Upstreams

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_MODELS = "/v1/models"


class BrokenOffError(Exception):
    """The service's answer ended early: the server below ends the caller's connection, so that it shows."""


class Proxy:
    """The application; ``door`` judges callers, ``upstreams`` are the services."""

    def __init__(self, door: Door, upstreams: Upstreams) -> None:
        self._door, self._upstreams = door, upstreams

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            self._door.judge(scope["headers"])
            path = target(scope["method"], scope["raw_path"], scope["query_string"])
            body = await _whole(receive)
            if path == _MODELS and scope["method"] == "GET":
                body = json.dumps({"object": "list", "data": await self._upstreams.models()}).encode()
                await _answer(send, 200, json_headers(body), body)
                return
            await _until_gone(receive, self._forward(scope, path, body, send))
        except Refusal as refusal:
            await _answer(send, refusal.status, refusal.headers, refusal.body)

    async def _forward(self, scope: Message, path: str, body: bytes, send: Send) -> None:
        answer = await self._asked(scope, path, body)
        try:
            headers = downwards(answer.headers.raw)
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.aiter_bytes():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (AttestationError, httpx2.HTTPError) as error:
            raise BrokenOffError from error
        finally:
            await answer.aclose()
        await send({"type": "http.response.body", "body": b""})

    async def _asked(self, scope: Message, path: str, body: bytes) -> httpx2.Response:
        """Send the request to the first service that is verified; return an answer whose body is still to come.

        Raises:
            Refusal: none is, or the answer did not come.
        """
        services = await self._upstreams.for_request(body)
        for service in services:
            request = _request(service, scope, path, body)
            try:
                return await service.http.send(request, stream=True)
            except AttestationError as error:
                refusal = not_admitted(error)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                refusal = not_admitted(FetchError(f"{service.origin} cannot be reached"))
            except httpx2.HTTPError:
                message = "The connection to the service broke. It may have read the request: ask again if you like."
                raise Refusal(502, "service_error", message) from None
        raise refusal


def _request(service: Upstream, scope: Message, path: str, body: bytes) -> httpx2.Request:
    return service.request(scope["method"], path, upwards(scope["headers"], service.token), body)


async def _whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "gone", "The request ended early.")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise Refusal(413, "body_too_large", f"The request has more than {MAX_BODY} bytes.")
        if not message.get("more_body"):
            return bytes(body)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _until_gone(receive: Receive, work: Any) -> None:
    """Do the work, and end it when the caller is gone: the service's engine then stops as well."""
    doing, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((doing, gone), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        for task in (doing, gone):
            task.cancel()
        await asyncio.gather(doing, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
