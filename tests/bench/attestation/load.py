"""Clients: each has a connection, asks, checks that the answer is about its own nonce, and asks again.

``python3 -m tests.bench.attestation.load PORT CERTIFICATE CLIENTS SECONDS PAGE``: prints ``ready`` once every client
has had an answer, waits for a line, then measures and prints JSON. It runs beside the machine, never in it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import struct
import sys
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from uvicorn.loops.uvloop import uvloop_setup

from client_sdk.binding import Place, extra_data, merkle_root
from client_sdk.encoding import from_base64
from tests.bench.attestation.parts import EVIDENCE, STATIC

_BEGIN, _END = b'"quote":', b',"runtime_log"'


@dataclass
class Tally:
    """What came back in the time that was measured."""

    seconds: list[float] = field(default_factory=list)
    quotes: set[str] = field(default_factory=set)
    trees: list[int] = field(default_factory=list)
    refused: int = 0
    size: int = 0


class Clients:
    """``stop`` is when nobody asks again; what was asked before is still answered."""

    def __init__(self, port: int, certificate: Path, page: str):
        self.port, self.page, self.stop, self.tally = port, page, 0.0, Tally()
        key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
        self.spki = sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, limit=8 << 20)

    async def ask(self, reader, writer) -> None:
        """Ask once, and count it."""
        nonce = secrets.token_bytes(32)
        path = f"{EVIDENCE}?nonce={nonce.hex()}" if self.page == EVIDENCE else STATIC
        began = time.monotonic()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            self.tally.refused += 1
            return
        self.tally.seconds.append(time.monotonic() - began)
        self.tally.size = length
        if self.page == EVIDENCE:
            self.check(nonce, json.loads(body[body.index(_BEGIN) + len(_BEGIN) : body.index(_END)]))

    def check(self, nonce: bytes, quote: dict) -> None:
        """Require that what the TPM signed is about this nonce. The rest of a verification is another benchmark's."""
        place = Place(quote["index"], quote["tree_size"], tuple(map(bytes.fromhex, quote["path"])))
        attest = from_base64(quote["attest"], "attest")
        extra = 8 + struct.unpack_from(">H", attest, 6)[0]
        if attest[extra + 2 : extra + 34] != extra_data(merkle_root(nonce, place), place.tree_size, self.spki, b""):
            raise SystemExit("an answer is not about the nonce of its client")
        self.tally.quotes.add(quote["attest"])
        self.tally.trees.append(place.tree_size)

    async def client(self, connection) -> None:
        """Ask again and again."""
        while time.monotonic() < self.stop:
            await self.ask(*connection)


async def main(port: int, certificate: Path, count: int, seconds: float, page: str) -> None:
    """Warm up, wait for the word, measure."""
    clients = Clients(port, certificate, page)
    connections = [await clients.connect() for _ in range(count)]
    await asyncio.gather(*(clients.ask(*connection) for connection in connections))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    clients.tally, began = Tally(), time.monotonic()
    clients.stop = began + seconds
    await asyncio.gather(*(clients.client(connection) for connection in connections))
    wall = time.monotonic() - began
    found = vars(clients.tally) | {"quotes": len(clients.tally.quotes), "wall": wall}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop_setup()
    words = sys.argv[1:]
    asyncio.run(main(int(words[0]), Path(words[1]), int(words[2]), float(words[3]), words[4]))
