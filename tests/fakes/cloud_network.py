"""The other end of a VM's network cable, as Google's: run as a program, it leases addresses and asks who has them.

``serve`` answers DHCP on the device ``srv``: an address with mask /32, the router outside of it, and what a VM must
not take: a name server, a smaller MTU, and a route to the metadata service (option 121). ``ask`` sends one ARP request
as the router and exits with 0 if the address answers.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

DEVICE, ADDRESS, ROUTER, METADATA = "srv", "10.128.0.7", "10.128.0.1", "169.254.169.254"
_COOKIE = b"\x63\x82\x53\x63"
_DISCOVER, _OFFER, _ACK = 1, 2, 5
_BIND_TO_DEVICE = 25
_ARP = 0x0806


def option(code: int, data: bytes) -> bytes:
    return bytes([code, len(data)]) + data


def answer(request: bytes) -> bytes:
    """Answer a request with an offer or an acknowledgement."""
    place = request.index(_COOKIE) + 4
    kind = next(request[i + 2] for i in range(place, len(request) - 2) if request[i : i + 2] == b"\x35\x01")
    ip = socket.inet_aton
    head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, request[4:8], 0, 0x8000) + bytes(4) + ip(ADDRESS) + ip(METADATA)
    routes = b"\x20" + ip(ROUTER) + bytes(4) + b"\0" + ip(ROUTER) + b"\x20" + ip(METADATA) + ip(ROUTER)
    options = {
        53: bytes([_OFFER if kind == _DISCOVER else _ACK]),
        54: ip(METADATA),
        51: struct.pack("!I", 3600),
        1: ip("255.255.255.255"),
        3: ip(ROUTER),
        6: ip(METADATA),
        26: struct.pack("!H", 1460),
        121: routes,
    }
    body = head + bytes(4) + request[28:44] + bytes(192) + _COOKIE
    return (body + b"".join(option(*item) for item in options.items()) + b"\xff").ljust(300, b"\0")


def serve() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        channel.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, DEVICE.encode() + b"\0")
        channel.bind(("0.0.0.0", 67))  # noqa: S104 - in a network of its own, on one device
        while True:
            channel.sendto(answer(channel.recv(2000)), ("255.255.255.255", 68))


def ask() -> bool:
    """Ask, as the router, who has the address."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as channel:
        channel.bind((DEVICE, _ARP))
        channel.settimeout(0.5)
        own = channel.getsockname()[4]
        who = own + socket.inet_aton(ROUTER) + bytes(6) + socket.inet_aton(ADDRESS)
        channel.send(b"\xff" * 6 + own + struct.pack("!HHHBBH", _ARP, 1, 0x0800, 6, 4, 1) + who)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                frame = channel.recv(200)
            except TimeoutError:
                continue
            if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(ADDRESS):
                return True
    return False


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    sys.exit(0 if ask() else 1)
