"""An HTTPS server with the real interface in front of a :class:`SimulatedVm`; every attribute is a knob."""

from __future__ import annotations

import base64
import io
import json
import socket
import ssl
import struct
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.verify.activation import ActivationRequest
from tests.fakes.simulated_vm import SimulatedVm

ATTESTATION = "/.well-known/attestation"
MODEL = "smollm2-135m-instruct"
WORDS = ("The ", "capital ", "of ", "France ", "is ", "Paris.")


class SimulatedServer(ThreadingHTTPServer):
    """Speaks TLS with the VM's key, unless a test shows another one."""

    daemon_threads = True
    request_queue_size = 128  # clients may come all at once: none waits for a second because a SYN was dropped

    def __init__(self, vm: SimulatedVm, *, port: int = 0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.vm = vm
        self.tls_key, self.tls_certificate = vm.tls, vm.tls_certificate
        self.answer_with: dict[str, tuple[int, dict[str, str], bytes]] = {}  # path → status, headers, body
        self.nonce_override: bytes | None = None
        self.drip = 0.0
        self.minimum, self.maximum = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3
        self.requests: list[tuple[str, str, bytes]] = []
        self.received: list[bytes] = []  # all that was decrypted, in pieces
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.latest: ssl.SSLSocket | None = None  # the connection of the latest request
        self.loading = 0  # how many times /healthz says that the model is loading
        self.cut_after: int | None = None  # close the connection after so many words of an answer
        self.close_after = ""  # a path: the connection ends with its answer
        self.before_tls = lambda: None  # called for each connection
        self.hold: threading.Event | None = None  # evidence waits for it

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    @property
    def prompts(self) -> list[bytes]:
        return [body for _, path, body in self.requests if path.startswith("/v1/") and body]

    def rounds(self) -> int:
        return sum(path == ATTESTATION for _, path, _ in self.requests)

    def finish_request(self, request, client_address):
        self.connections += 1
        self.before_tls()
        request.settimeout(20)
        try:
            with _context(self).wrap_socket(request, server_side=True) as tls:
                super().finish_request(tls, client_address)
        except (ssl.SSLError, OSError):
            request.close()

    def handle_error(self, request, client_address):
        """Clients that hang up are what the tests are about."""


class _Noting(io.RawIOBase):
    """A connection to read from that notes every byte that was read."""

    def __init__(self, connection, received):
        super().__init__()
        self._connection, self._received = connection, received

    def readable(self):
        return True

    def readinto(self, buffer):
        size = self._connection.recv_into(buffer)
        self._received.append(bytes(buffer[:size]))
        return size


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SimulatedServer

    def setup(self):
        super().setup()
        self.rfile = io.BufferedReader(_Noting(self.connection, self.server.received))

    def log_message(self, *args):
        pass

    def do_GET(self):
        self._handle(b"")

    def do_POST(self):
        self._handle(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _handle(self, body):
        parts, self.server.latest = urlsplit(self.path), self.connection
        self.server.requests.append((self.command, parts.path, body))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if parts.path in self.server.answer_with:
            return self._send(*self.server.answer_with[parts.path])
        handler = _ROUTES.get((self.command, parts.path))
        return handler(self, parts.query, body) if handler else self._send(404, {}, b"{}")

    def _send(self, status, headers, body):
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        if urlsplit(self.path).path == self.server.close_after:
            self.send_header("Connection", "close")  # which http.server does, then, too
        if "Content-Length" not in headers:  # a test may lie about it
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not self.server.drip:
            self.wfile.write(body)
            return
        for offset in range(len(body)):
            self.wfile.write(body[offset : offset + 1])
            time.sleep(self.server.drip)

    def evidence(self, query, _body):
        if self.server.hold:
            self.server.hold.wait(20)
        nonce = self.server.nonce_override or bytes.fromhex(parse_qs(query)["nonce"][0])
        self._send(200, {}, self.server.vm.evidence(nonce).to_json())

    def activate(self, _query, body):
        fields = json.loads(body)
        request = ActivationRequest(*(base64.b64decode(fields[k]) for k in ("credential_blob", "encrypted_secret")))
        try:
            secret = self.server.vm.activate(request)
        except ValueError:
            return self._send(400, {}, b'{"error":{}}')
        return self._send(200, {}, json.dumps({"secret": base64.b64encode(secret).decode()}).encode())

    def health(self, _query, _body):
        state = "loading" if self.server.loading else "ready"
        self.server.loading = max(0, self.server.loading - 1)
        self._send(200, {}, json.dumps({"status": "ok", "engine": state}).encode())

    def models(self, _query, _body):
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "vitrine"}
        self._send(200, {}, json.dumps({"object": "list", "data": [model]}).encode())

    def chat(self, _query, body):
        if not json.loads(body).get("stream"):
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return self._send(200, {}, json.dumps(_completion("chat.completion", choice)).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for number, word in enumerate(WORDS):
            if number == self.server.cut_after:
                return None
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            self.wfile.write(b"data: " + json.dumps(_completion("chat.completion.chunk", choice)).encode() + b"\n\n")
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        return None


def _completion(kind, choice):
    return {"id": "1", "object": kind, "created": 0, "model": MODEL, "choices": [choice]}


_ROUTES = {
    ("GET", ATTESTATION): _Handler.evidence,
    ("POST", f"{ATTESTATION}/activate"): _Handler.activate,
    ("GET", "/healthz"): _Handler.health,
    ("GET", "/v1/models"): _Handler.models,
    ("POST", "/v1/chat/completions"): _Handler.chat,
}


def _context(server: SimulatedServer) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = server.minimum, server.maximum
    key = server.tls_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        Path(file.name).write_bytes(key + ssl.DER_cert_to_PEM_cert(server.tls_certificate).encode())
        context.load_cert_chain(file.name)
    return context


@contextmanager
def serving(vm: SimulatedVm, *, port: int = 0):
    """Run a server until the block ends."""
    server = SimulatedServer(vm, port=port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def show_other_key(server: SimulatedServer, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> None:
    """Be an impostor from the next connection on."""
    server.tls_key, server.tls_certificate = key, certificate


@contextmanager
def resetting_port():
    """A port that resets every connection at once: a balancer whose machine has gone."""

    def reset():
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=reset, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def silent_port():
    """A port that accepts connections and says nothing: a VM whose firmware still runs, behind a port forward."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
