"""What crosses the proxy, by lists of what may: the rest of a request or an answer ends here (rule C8)."""

from __future__ import annotations

import json
import re
from typing import Any

from client_sdk.proxy.door import Headers
from client_sdk.proxy.refusals import Refusal

MAX_BODY = 32 * 1024 * 1024  # bytes: whole conversations with pictures; a service's own limits are narrower
_PATH = re.compile(rb"/v1(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")
_QUERY = re.compile(rb"[A-Za-z0-9_.~%&=+,-]*")
_UP = frozenset({b"accept", b"content-type"})
_DOWN = frozenset({b"cache-control", b"content-type", b"retry-after", b"x-request-id"})


def target(method: str, path: bytes, query: bytes) -> str:
    """Return the path to ask the service for.

    Raises:
        Refusal: method or path is none of the interface's.
    """
    if method not in {"GET", "POST"}:
        raise Refusal(405, "method_not_allowed", "This proxy forwards GET and POST.")
    if not _PATH.fullmatch(path) or not _QUERY.fullmatch(query):
        raise Refusal(404, "not_found", "This proxy forwards paths below /v1 alone.")
    return (path + (b"?" + query if query else b"")).decode("ascii")


def upwards(headers: Headers, token: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers for the service. Its token is the proxy's own: whatever a caller sent as one stays here."""
    found = [(name, value) for name, value in headers if name in _UP]
    return [*found, (b"authorization", f"Bearer {token}".encode())] if token else found


def downwards(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers for the caller."""
    return [(name.lower(), value) for name, value in headers if name.lower() in _DOWN]


def model_of(body: bytes) -> str | None:
    """Return the model that a request names; what is wrong with it otherwise, the service says."""
    try:
        found: Any = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None
    model = found.get("model") if isinstance(found, dict) else None
    return model if isinstance(model, str) else None
