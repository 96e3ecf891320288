"""Error bodies as OpenAI's clients expect them. They never repeat what the client sent or the engine answered."""

from __future__ import annotations

import json
from http import HTTPStatus

from serving.errors import RequestError

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


def engine_loading() -> RequestError:
    """Make the refusal for a time without engine: it is loading, or it is being restarted."""
    return RequestError("engine_loading", "The model is being loaded. Try again in a few seconds.", status=503)


def engine_failed(status: int = 502) -> RequestError:
    """Make the refusal for an engine that broke off or answered with nonsense."""
    return RequestError("engine_error", "The engine failed while answering.", status=status)


def busy() -> RequestError:
    """Make the refusal for too many requests at once."""
    return RequestError("rate_limit_exceeded", "Too many requests at once. Try again shortly.", status=429)
