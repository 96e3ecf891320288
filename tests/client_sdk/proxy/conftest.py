"""The real command in a process of its own, before services that are simulated."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
SECONDS = 60


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path):
        super().__init__("localhost", timeout=SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self.path))


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def code(self):
        return json.loads(self.body)["error"]["code"]


@dataclass
class Running:
    """A proxy that serves: ``where`` is its socket file or its port."""

    process: subprocess.Popen
    where: Path | int
    secret: bytes = b""

    def connection(self):
        unix = isinstance(self.where, Path)
        return UnixConnection(self.where) if unix else http.client.HTTPConnection("127.0.0.1", self.where, SECONDS)

    def ask(self, method, path, body=None, **headers):
        """Ask, with the secret unless another is given; header names have underscores for dashes."""
        given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if self.secret and "authorization" not in headers:
            given["authorization"] = f"Bearer {self.secret.decode()}"
        connection = self.connection()
        try:
            connection.request(method, path, body if body is None else json.dumps(body), given)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def chat(self, **fields):
        return self.ask("POST", "/v1/chat/completions", CHAT | fields, content_type="application/json")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err


CHAT = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "a secret question"}]}


def command(*words, state, **environment):
    """Start the command; nothing of the caller's environment leads to another state folder or token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "VITRINE_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "client_sdk.cli", "proxy", *map(str, words)],
        cwd=CHECKOUT,
        env={**kept, "XDG_RUNTIME_DIR": str(state), "PYTHONPATH": str(CHECKOUT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process, word):
    """Return what was said until a line has the word; a process that ends sooner is a failure."""
    said, deadline = "", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        said += line
        if word in line:
            return said
        assert line, f"it ended: {said}"
    pytest.fail(f"no {word!r} within {SECONDS} s: {said}")


@pytest.fixture
def proxy(tmp_path, pins):
    """Start proxies; each is ended with the test."""
    started = []

    def start(*words, port=None, trust=None, **environment):
        where = ("--port", port) if port else ("--socket", tmp_path / "run/p.sock")
        arguments = (*words, *where, *(pins.words if trust is None else trust))
        process = command(*arguments, state=tmp_path, **environment)
        started.append(process)
        wait_for(process, "serving at")
        secret = (tmp_path / f"vitrine/proxy-{port}.secret").read_bytes().strip() if port else b""
        return Running(process, port or tmp_path / "run/p.sock", secret)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def ends(tmp_path, pins):
    """Run a command that is to end by itself; return exit code and what it said."""

    def run(*words, trust=None, **environment):
        process = command(*words, *(pins.words if trust is None else trust), state=tmp_path, **environment)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out + err

    return run


@contextmanager
def umask(value):
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)
