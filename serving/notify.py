"""Telling systemd that a service is ready, or still alive (the datagrams of sd_notify(3))."""

from __future__ import annotations

import socket


def notify_ready(address: str | None) -> None:
    """Send ``READY=1`` to the socket named by ``NOTIFY_SOCKET``; without one (tests) do nothing."""
    _send(address, b"READY=1")


def notify_alive(address: str | None) -> None:
    """Send ``WATCHDOG=1`` there: for as long again as the unit says, the service is not taken for stuck."""
    _send(address, b"WATCHDOG=1")


def _send(address: str | None, message: bytes) -> None:
    if not address:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(path)
        channel.send(message)
