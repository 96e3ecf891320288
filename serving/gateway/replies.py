"""Answers as they are sent, and errors as OpenAI's clients expect them.

An error never repeats what the client sent or the engine answered, but for the engine's refusal of a request, which
goes to its sender.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response

from serving.errors import RequestError
from serving.gateway.shaping import Shape

_RETRY_AFTER = {HTTPStatus.TOO_MANY_REQUESTS: "2", HTTPStatus.SERVICE_UNAVAILABLE: "5"}
# RFC 6750, 3.1: without a token, nothing but the scheme.
_CHALLENGE = {
    "missing_api_key": "Bearer",
    "model_not_allowed": 'Bearer error="insufficient_scope"',
    HTTPStatus.UNAUTHORIZED: 'Bearer error="invalid_token"',
}
_CLOSE = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}


def error_body(error: RequestError) -> bytes:
    """Encode a refusal: ``{"error": {"message", "type", "param", "code"}}``."""
    kind = "invalid_request_error" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error" if error.code != "insufficient_quota" else error.code
    return json.dumps(
        {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    ).encode()


def error_headers(error: RequestError) -> dict[str, str]:
    """Return the headers that belong to a refusal."""
    headers = {"content-type": "application/json"}
    status = HTTPStatus(error.status)
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    elif status in _RETRY_AFTER:
        headers["retry-after"] = _RETRY_AFTER[status]
    if challenge := _CHALLENGE.get(error.code) or _CHALLENGE.get(status):
        headers["www-authenticate"] = challenge
    if status in _CLOSE:  # the rest of the body is not read
        headers["connection"] = "close"
    return headers


def refusal(error: RequestError, shape: Shape | None, allow: str = "") -> Response:
    """Make the answer that is a refusal; ``allow`` names the methods that there are (RFC 9110, section 15.5.6)."""
    headers = {**error_headers(error), "allow": allow} if allow else error_headers(error)
    return whole(error_body(error), error.status, headers, shape)


def whole(body: bytes, status: int, headers: dict[str, str], shape: Shape | None) -> Response:
    """Make an answer of one JSON text, padded to its shape."""
    if shape:
        body = shape.pad_json(body)
        headers = shape.pad_head(status, {**headers, "content-length": str(len(body))})
    return Response(body, status_code=status, headers=headers)


def engine_loading() -> RequestError:
    """Make the refusal for a time without engine: it is loading, or it is being restarted."""
    return RequestError("engine_loading", "The model is being loaded. Try again in a few seconds.", status=503)


def engine_failed(status: int = 502) -> RequestError:
    """Make the refusal for an engine that broke off or answered with nonsense."""
    return RequestError("engine_error", "The engine failed while answering.", status=status)


def busy() -> RequestError:
    """Make the refusal for too many requests at once."""
    return RequestError("rate_limit_exceeded", "Too many requests at once. Try again shortly.", status=429)
