"""Asking an engine over its socket whether it computes: a health page can be green while the model is broken."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from serving.errors import EngineError
from serving.task import probe, require_answer

_SECONDS = 300.0
# What Triton compiles when it is first asked for, and everybody waits meanwhile: choosing among the likeliest tokens
# where eight or more are answered together, and holding an answer to a form. On a GPU the first three took 8, 2 and
# 2 seconds.
_KINDS = (
    {"n": 8, "temperature": 1, "top_k": 5, "top_p": 0.9},
    {"n": 8, "temperature": 1, "top_k": 5},
    {"n": 8, "temperature": 1, "top_p": 0.9},
    {"response_format": {"type": "json_object"}},
    {"logprobs": 1, "presence_penalty": 1, "min_p": 0.1},
)


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
    try:
        require_answer(task, _ask(path, "POST", *probe(task)))
    except EngineError:
        return False
    else:
        return True


def warm(path: Path) -> None:
    """Ask a model that generates a question of each kind, whatever is answered: what a kind needs is compiled then."""
    for kind in _KINDS:
        _ask(path, "POST", "/v1/completions", json.dumps({"prompt": "Hi", "max_tokens": 2, **kind}).encode())


def steps(path: Path) -> bool:
    """Say whether llama.cpp goes from one step to the next: there it tells of its adapters, however busy it is."""
    return _ask(path, "GET", "/lora-adapters") is not None


def _ask(path: Path, method: str, route: str, body: bytes | None = None) -> Any:
    """Return the JSON of a good answer, or None."""
    connection = Connection(path)
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
