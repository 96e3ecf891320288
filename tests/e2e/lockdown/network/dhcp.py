"""A DHCP server of the host's, honest or not, on a cable of its own (RFC 2131, RFC 2132)."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.e2e.lockdown.network.wire import Cable

COOKIE = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, ACK, NAK, FORCE_RENEW = 1, 2, 3, 5, 6, 9
_BIND_TO_DEVICE = 25
_PAD, _END = 0, 255


def hostile(false_router: str, server: str) -> dict[int, bytes]:
    """Everything that a server can tell a client besides its address (RFC 2132, 3442, 4833, 5969, 8910, 8925)."""
    ip = socket.inet_aton
    # To 198.51.100.0/24 by the false router; the names of the same for two other kinds of clients.
    routes = bytes([24, 198, 51, 100]) + ip(false_router) + b"\0" + ip(false_router)
    names = b"\4evil\7example\0"
    everywhere = dict.fromkeys((4, 5, 6, 7, 9, 41, 42, 44, 45, 48, 49, 69, 70, 150), ip(server))
    return everywhere | {
        2: b"\0\0\x1c\x20",
        12: b"owned",
        15: b"evil.example",
        17: b"/srv",
        19: b"\1",
        20: b"\1",
        23: b"\1",
        26: (576).to_bytes(2, "big"),
        27: b"\1",
        31: b"\1",
        33: ip("203.0.113.9") + ip(false_router),
        36: b"\1",
        40: b"evil",
        43: b"\1\4evil",
        66: b"evil.example",
        67: b"/boot",
        100: b"EST5EDT",
        101: b"Asia/Tokyo",
        108: (1800).to_bytes(4, "big"),
        114: b"http://evil.example/",
        119: names,
        120: b"\1" + ip(server),
        121: routes,
        212: bytes([0, 32]) + bytes.fromhex("20010db8006600000000000000000000") + ip(server),
        249: routes,
        252: b"http://evil.example/wpad.dat",
    }


@dataclass
class Lease:
    """What the server gives away, and every message that it was sent. ``more`` are options by number."""

    address: str
    router: str
    mask: str = "255.255.255.0"
    seconds: int = 86400
    more: Mapping[int, bytes] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    def answer(self, request: bytes) -> bytes | None:
        """Offer what is discovered, acknowledge what is requested, refuse other addresses; else say nothing."""
        told = options(request)
        kind = {DISCOVER: OFFER, REQUEST: ACK}.get(told.get(53, b"\0")[0])
        if kind == ACK and told.get(50, request[12:16]) != socket.inet_aton(self.address):
            kind = NAK
        if kind is None:
            return None
        self.answered.append(kind)
        return self.message(kind, request)

    def message(self, kind: int, request: bytes) -> bytes:
        """Write a message of this server's, with number and card of a request."""
        ip = socket.inet_aton
        head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, request[4:8], 0, 0x8000)
        head += bytes(4) + ip(self.address) + ip(self.router) + bytes(4) + request[28:44] + bytes(192)
        told = {53: bytes([kind]), 54: ip(self.router)}
        if kind != NAK:
            lease = struct.pack("!I", self.seconds)
            told |= {51: lease, 1: ip(self.mask), 3: ip(self.router), **self.more}
        body = b"".join(bytes([code, len(data)]) + data for code, data in told.items())
        return (head + COOKIE + body + b"\xff").ljust(300, b"\0")


def options(message: bytes) -> dict[int, bytes]:
    """Return the options of a DHCP message.

    Raises:
        ValueError: it is none.
    """
    if len(message) < 240 or message[236:240] != COOKIE:
        raise ValueError("no DHCP message")
    found, at = {}, 240
    while at < len(message) and message[at] != _END:
        if message[at] == _PAD:
            at += 1
            continue
        size = message[at + 1]
        found[message[at]] = message[at + 2 : at + 2 + size]
        at += 2 + size
    if any(message[at + 1 :]):
        raise ValueError("bytes behind the end of a DHCP message")
    return found


@contextlib.contextmanager
def serving(cable: Cable, lease: Lease) -> Iterator[Lease]:
    """Lease on a cable, and note who asks."""
    with cable.namespace.entered():
        channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    channel.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, cable.name.encode() + b"\0")
    channel.bind(("", 67))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            if select.select([channel], [], [], 0.1)[0]:
                request = channel.recv(2000)
                lease.asked.append(request)
                if (answer := lease.answer(request)) is not None:
                    channel.sendto(answer, ("255.255.255.255", 68))

    thread = threading.Thread(target=serve, name=f"DHCP on {cable.name}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join(10)
        channel.close()
