"""Between clients and the VMs of a fleet: a real balancer, impostors, load, and what came of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import openai

from client_sdk.encoding import from_base64, to_base64
from client_sdk.errors import AttestationError
from client_sdk.fetch import ACTIVATION, ATTESTATION, Peer
from client_sdk.origin import Origin
from tests.fakes.keys import ec_key
from tests.fakes.simulated_vm import SimulatedVm, TestCa, tls_certificate
from tests.ports import free_port

MODEL = "smollm2-135m-instruct"
ANEW = {"Connection": "close"}  # each request meets the balancer
# A dead node is met, as before a balancer's health check has noticed: nothing is sent to another one by the balancer.
HAPROXY = """
global
    maxconn 500
defaults
    mode tcp
    balance roundrobin
    retries 0
    timeout connect 5s
    timeout client 900s
    timeout server 900s
listen fleet
    bind 127.0.0.1:{port}
"""


@contextmanager
def balanced(folder: Path, *ports: int):
    """Run HAProxy before these ports; it passes TCP through, each connection to the next."""
    port = free_port()
    config = folder / "haproxy.cfg"
    nodes = "".join(f"    server node{number} 127.0.0.1:{node}\n" for number, node in enumerate(ports))
    config.write_text(HAPROXY.format(port=port) + nodes)
    process = subprocess.Popen(["haproxy", "-db", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(port, process)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_for(port: int, process: subprocess.Popen) -> None:
    """Wait until it listens, without a connection: HAProxy would pass it on, and a node would count it."""
    listening = f":{port:04X} 00000000:0000 0A"  # as the kernel lists it
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        if listening in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"haproxy does not listen: {process.communicate(timeout=5)[1]}")


@dataclass(frozen=True, slots=True)
class Sent:
    """Evidence as a server sends it."""

    body: bytes

    def to_json(self) -> bytes:
        return self.body


class Relay:
    """Answers attestation with another VM's evidence for the very nonce that was asked, over a TLS key of its own."""

    def __init__(self, origin: str, *, names_itself: bool):
        self.tls = ec_key("relay")
        self.tls_certificate = tls_certificate(self.tls)
        self._origin, self._names_itself = Origin.parse(origin), names_itself

    def evidence(self, nonce: bytes) -> Sent:
        with Peer.connect(self._origin, seconds=120) as genuine:
            document = json.loads(genuine.evidence(nonce))
        if self._names_itself:
            document["tls_certificate"] = to_base64(self.tls_certificate)
        return Sent(json.dumps(document).encode())

    def activate(self, request) -> bytes:
        with Peer.connect(self._origin, seconds=120) as genuine:
            return from_base64(json.loads(genuine.activate(request.to_json()))["secret"], "secret")


IMPOSTORS = {
    "evidence relayed from a genuine VM": lambda origin: Relay(origin, names_itself=False),
    "relayed evidence that names the impostor's certificate": lambda origin: Relay(origin, names_itself=True),
    "a TPM of its own": lambda _: SimulatedVm("impostor", ca=TestCa("impostor")),
}


def only_attestation(impostor) -> None:
    """Hold an impostor's record of everything it decrypted to attestation: no other request line, no byte beside."""
    received = b"".join(impostor.received)
    assert received, "nobody came: this test shows nothing"
    paths = {path for _, path, _ in impostor.requests}
    assert paths <= {ATTESTATION, ACTIVATION}
    assert received.count(b"HTTP/1.1\r\n") == len(impostor.requests)
    assert b"/v1/" not in received
    assert b"SECRET" not in received


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a number of requests."""

    sent: int
    outcomes: Counter = field(default_factory=Counter)
    errors: list = field(default_factory=list)

    def count(self, error: Exception | None) -> None:
        self.outcomes["answered" if error is None else type(error).__name__] += 1
        if error is not None:
            self.errors.append(error)

    @property
    def answered(self) -> int:
        return self.outcomes["answered"]

    def show(self, what: str, client) -> None:
        failed = dict(self.outcomes - Counter(answered=self.answered))
        nodes = f"{len(client.attestations)} nodes verified, {len(client.refused)} refusals"
        print(f"{what}: {self.sent} sent, {self.answered} answered, failed {failed or 0}; {nodes}", flush=True)
        assert self.answered + len(self.errors) == self.sent


def _question(number: int) -> dict:
    return {"model": MODEL, "prompt": f"SECRET {number}", "max_tokens": 1, "temperature": 0, "extra_headers": ANEW}


def ask(client, count: int, *, at_once: int, when=lambda _: None) -> Tally:
    """Send requests with several at once; ``when`` is told how many were answered."""
    tally = Tally(count)

    def one(number):
        try:
            client.completions.create(**_question(number))
        except (openai.OpenAIError, AttestationError) as error:
            return error
        return None

    with ThreadPoolExecutor(at_once) as pool:
        for error in pool.map(one, range(count)):
            tally.count(error)
            when(tally.answered)
    return tally


async def ask_async(client, count: int, *, at_once: int) -> Tally:
    """The same, asynchronous."""
    tally, limit = Tally(count), asyncio.Semaphore(at_once)

    async def one(number):
        async with limit:
            try:
                await client.completions.create(**_question(number))
            except (openai.OpenAIError, AttestationError) as error:
                tally.count(error)
            else:
                tally.count(None)

    await asyncio.gather(*(one(number) for number in range(count)))
    return tally
