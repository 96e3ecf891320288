"""A part of this machine from which nothing but itself can be reached: a network namespace with loopback alone.

Whatever is started or opened inside stays inside: threads, processes and sockets are of the namespace of the thread
that made them. It is the kernel that says so, and no patch of ours that a process of another program would not have.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_SET_FLAGS, _UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def only_loopback_exists() -> Iterator[None]:
    """Take this thread, and what it starts, off every network; needs root. It comes back at the end."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _require(_libc.unshare(_NEW_NETWORK))
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
            yield
        finally:
            _require(_libc.setns(before, _NEW_NETWORK))
    finally:
        os.close(before)


def _require(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace: {os.strerror(number)}; these tests need root")
