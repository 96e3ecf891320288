"""The Internet in a test: names of vendors lead to a fake on loopback, everything else nowhere."""

from __future__ import annotations

import ipaddress
import socket
import time
from contextlib import contextmanager

from client_sdk import deadline


class LeftLoopbackError(AssertionError):
    """A test tried to reach another machine."""


def only_loopback(monkeypatch) -> None:
    """Refuse every connection and every look-up that is not about this machine, whoever makes it."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    real = socket.getaddrinfo

    def getaddrinfo(host, *rest, **more):
        _refuse_others(host)
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def lead(monkeypatch, ports: dict[int, int]) -> list[tuple[str, int]]:
    """Lead the client's connections to ports of named hosts to ports of this machine; return who was asked for."""
    real, asked = deadline.addresses, []

    def addresses(host, port):
        if port in ports and not _is_address(host):
            asked.append((host, port))
            host, port = "127.0.0.1", ports[port]
        return real(host, port)

    monkeypatch.setattr(deadline, "addresses", addresses)
    return asked


@contextmanager
def mute_address():
    """An address that takes connections and says nothing, not even in TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


@contextmanager
def deaf_address():
    """An address that takes no further connection, and refuses none: who connects waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()
        for one in waiting:
            one.close()


def closed_address() -> tuple[str, int]:
    """Return an address that refuses whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return closed.getsockname()


def resolve(monkeypatch, *addresses: tuple, seconds: float = 0) -> None:
    """Let every name have these addresses, in this order, after so many seconds. An address is none."""
    families = [socket.AF_INET6 if ":" in address[0] else socket.AF_INET for address in addresses]
    found = [(family, socket.SOCK_STREAM, 6, "", at) for family, at in zip(families, addresses, strict=True)]
    real = socket.getaddrinfo

    def getaddrinfo(host, *rest, **more):
        if _is_address(host):
            return real(host, *rest, **more)
        time.sleep(seconds)
        return found

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def _guarded(real):
    def connect(sock, address):
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_others(address[0])
        return real(sock, address)

    return connect


def _refuse_others(host) -> None:
    if host not in ("localhost", None) and not (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise LeftLoopbackError(f"a test wanted to reach {host}")


def _is_address(host) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
