"""Asking an engine the smallest question over its socket: a health page can be green while the model is broken."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

from serving.errors import EngineError
from serving.task import probe, require_answer

_SECONDS = 300.0


class Connection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path, timeout: float = _SECONDS) -> None:
        super().__init__("engine", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket; a host is not looked up."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def answers(path: Path, task: str) -> bool:
    """Say whether a real answer came back."""
    route, body = probe(task)
    connection = Connection(path)
    try:
        connection.request("POST", route, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        require_answer(task, json.loads(answer.read()))
    except (OSError, http.client.HTTPException, ValueError, EngineError):
        return False
    else:
        return answer.status == http.client.OK
    finally:
        connection.close()
