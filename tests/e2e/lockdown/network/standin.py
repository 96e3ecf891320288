"""A machine without the image's rules in a VM's place: Linux as it comes, on the same cable."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator

from tests.e2e.lockdown.network.lan import VM, VM_MAC, Lan
from tests.e2e.lockdown.network.wire import Namespace

_SET_INTERFACE = 0x400454CA  # TUNSETIFF of linux/if_tun.h
_TAP, _NO_HEADER = 2, 0x1000


def card(namespace: Namespace, name: str) -> int:
    """Take the far end of a tap device, as QEMU does: what is written to it is what a VM's card sends."""
    with namespace.entered():
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(end, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TAP | _NO_HEADER))
    return end


@contextlib.contextmanager
def plain_linux(lan: Lan) -> Iterator[Namespace]:
    """Put a network namespace, with the VM's card and address, at the other end of the cable."""
    inside = Namespace()
    near, far = card(lan.namespace, lan.cable.name), card(inside, "eth0")
    inside.run("ip", "link", "set", "eth0", "address", VM_MAC.hex(":"), "txqueuelen", "20000")
    inside.run("ip", "address", "add", f"{VM}/24", "dev", "eth0")
    inside.run("ip", "link", "set", "eth0", "up")
    inside.run("ip", "route", "add", "default", "via", lan.cable.address)
    # Else it would answer one machine once a second only.
    inside.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit")
    over = threading.Event()

    def carry() -> None:
        while not over.is_set():
            for end in select.select([near, far], [], [], 0.1)[0]:
                os.write(far if end == near else near, os.read(end, 1 << 16))

    thread = threading.Thread(target=carry, name="the stand-in's cable", daemon=True)
    thread.start()
    try:
        yield inside
    finally:
        over.set()
        thread.join(10)
        for end in (near, far):
            os.close(end)
        inside.close()


@contextlib.contextmanager
def listening(namespace: Namespace, ports: tuple[int, ...]) -> Iterator[None]:
    """Listen on TCP ports in there."""
    with contextlib.ExitStack() as stack, namespace.entered():
        for port in ports:
            opened = stack.enter_context(socket.socket())
            opened.bind((VM, port))
            opened.listen()
        yield
