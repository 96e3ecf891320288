"""Telling systemd that a service is ready (the datagram of sd_notify(3))."""

from __future__ import annotations

import socket


def notify_ready(address: str | None) -> None:
    """Send ``READY=1`` to the socket named by ``NOTIFY_SOCKET``; without one (tests) do nothing."""
    if not address:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(path)
        channel.send(b"READY=1")
