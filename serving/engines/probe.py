"""Asking an engine for one token over its socket: a health page can be green while the model is broken."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

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
    connection = _Connection(path)
    try:
        connection.request("POST", "/v1/completions", _PROBE, {"content-type": "application/json"})
        answer = connection.getresponse()
        value = json.loads(answer.read())
        return answer.status == http.client.OK and value["usage"]["completion_tokens"] >= 1
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return False
    finally:
        connection.close()
