"""Asking an engine over its socket whether it computes: a health page can be green while the model is broken."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

_PROBE = json.dumps({"prompt": "Hi", "max_tokens": 1, "temperature": 0})
_SECONDS = 300.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))


def answers(path: Path) -> bool:
    """Say whether a token came back."""
    try:
        return bool(_ask(path, "POST", "/v1/completions", _PROBE)["usage"]["completion_tokens"] >= 1)
    except (LookupError, TypeError):
        return False


def steps(path: Path) -> bool:
    """Say whether llama.cpp goes from one step to the next: there it tells of its adapters, however busy it is."""
    return _ask(path, "GET", "/lora-adapters") is not None


def _ask(path: Path, method: str, route: str, body: str | None = None) -> Any:
    """Return the JSON of a good answer, or None."""
    connection = _Connection(path)
    try:
        connection.request(method, route, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        value = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    else:
        return value if answer.status == http.client.OK else None
    finally:
        connection.close()
