"""Callers who are no client of ours: what they say is chosen byte by byte, and they may stop in the middle of it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from provisioner.clouds.qmp import Address, Qmp
from tests.canary import Canary
from tests.e2e.machine import Machine

MODEL = "smollm2-135m-instruct"
_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks, and all that he was told: heads and bodies."""

    port: int
    told: list[bytes] = field(default_factory=list)

    def ask(self, path: str, fields: object = None, *, method: str = "POST") -> tuple[int, bytes]:
        """Send a whole request, its body as JSON or as the bytes that they are; return status and body."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=_unverified(), timeout=_SECONDS)
        try:
            connection.request(method, path, _body(fields), {"content-type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        self.told.append(str(answer.headers).encode() + body)
        return answer.status, body

    def counted(self, canary: Canary) -> Canary:
        """Have the VM count a canary's tokens, and turn them into the text again: an answer that holds it."""
        status, body = self.ask("/v1/tokenize", {"model": MODEL, "prompt": canary.text})
        assert status == 200, body
        numbers = json.loads(body)["tokens"]
        _, body = self.ask("/v1/detokenize", {"model": MODEL, "tokens": numbers})
        assert json.loads(body)["prompt"] == canary.text
        return canary.with_tokens(numbers)

    @contextmanager
    def connected(self, path: str, body: bytes, length: int) -> Iterator[ssl.SSLSocket]:
        """Send a head that announces so many bytes, and these; give the connection while it is open."""
        head = f"POST {path} HTTP/1.1\r\nhost: vm\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        bare = socket.create_connection(("127.0.0.1", self.port), timeout=_SECONDS)
        with bare, _unverified().wrap_socket(bare) as channel:
            channel.sendall(head.encode() + body)
            yield channel

    def break_off(self, path: str, fields: dict[str, object], *, after: int) -> bytes:
        """Ask for a stream, and leave once so many events have begun; return what came."""
        body, seen = _body({**fields, "stream": True}), b""
        with self.connected(path, body, len(body)) as channel:
            while seen.count(b"data: ") < after:
                piece = channel.recv(65536)
                assert piece, seen
                seen += piece
        return seen

    def say_openly(self, text: bytes) -> None:
        """Send a text without any TLS: what a capture of the connection has to show."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as bare:
            bare.sendall(b"POST / HTTP/1.1\r\n\r\n" + text)
            bare.settimeout(30)
            bare.recv(1)


def caller(vm: Machine) -> Caller:
    """Make a new one."""
    return Caller(int(vm.origin.rsplit(":", 1)[1]))


@contextmanager
def captured(vm: Machine, file: str) -> Iterator[None]:
    """Have QEMU write every frame of the VM's network card, both ways, into a file of its folder."""
    with Qmp(Address(vm.vm.directory / "qmp.sock", 30)) as qmp:
        qmp.execute("object-add", {"qom-type": "filter-dump", "id": "capture", "netdev": "net", "file": file})
    yield
    with Qmp(Address(vm.vm.directory / "qmp.sock", 30)) as qmp:
        qmp.execute("object-del", {"id": "capture"})


def streamed(body: bytes) -> str:
    """Put a stream's texts together, of chats and of completions."""
    events = [line[6:] for line in body.splitlines() if line.startswith(b"data: {")]
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    return "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)


def saying(canary: Canary) -> dict[str, object]:
    """Return the format that makes a model answer with a canary, whatever it would say: its grammar allows no other."""
    schema = {
        "type": "object",
        "properties": {"word": {"const": canary.text}},
        "required": ["word"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _body(fields: object) -> bytes | None:
    return fields if fields is None or isinstance(fields, bytes) else json.dumps(fields).encode()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
