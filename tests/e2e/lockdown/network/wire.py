"""A network of a VM's own: a namespace, tap devices in it, and every frame on them with its direction.

Whoever holds this is the host: nothing stands between it and the VM's network cards.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of sched.h
# packet(7), linux/if_packet.h
_PACKET, _STATISTICS, _AUXILIARY = 263, 6, 8
_AUXDATA = struct.Struct("=IIIHHHH")
_HAS_VLAN = 0x10
_ALL = 3
_ROOM = 256 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame on a cable: when, who sent it, and all of its bytes."""

    at: float
    from_vm: bool
    data: bytes


class Namespace:
    """A network namespace without anything but loopback. It goes when this object is closed."""

    def __init__(self) -> None:
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _check(_LIBC.unshare(_NEW_NETWORK))
        self._inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _check(_LIBC.setns(self._outside, 0))
        self.run("ip", "link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in there: sockets that this thread opens and processes that it starts are, for as long as they live."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _check(_LIBC.setns(self._inside, 0))
        try:
            yield
        finally:
            _check(_LIBC.setns(before, 0))
            os.close(before)

    def run(self, *argv: str) -> str:
        """Run a program in there and return what it prints."""
        with self.entered():
            return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout

    def close(self) -> None:
        """Let go of it."""
        os.close(self._inside)
        os.close(self._outside)


@dataclass
class Cable:
    """A tap device: its far end is a VM's network card, its near end this host's, with an address.

    Everything on it is captured from the start. ``seen`` grows while it is looked at.
    """

    namespace: Namespace
    name: str
    mac: bytes
    address: str
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        run = self.namespace.run
        run("ip", "tuntap", "add", self.name, "mode", "tap")
        # What this host's own IPv6 says on a new cable would only be in the way.
        run("sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6")
        run("ip", "link", "set", self.name, "address", self.mac.hex(":"), "txqueuelen", "20000")
        run("ip", "address", "add", f"{self.address}/24", "dev", self.name)
        # Up before the capture binds, which to one that is down is an error; a cable without a card is silent.
        run("ip", "link", "set", self.name, "up")
        with self.namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, _ROOM)  # SO_RCVBUFFORCE
        # The kernel takes VLAN tags out of what it shows, and tells of them apart.
        self._socket.setsockopt(_PACKET, _AUXILIARY, 1)
        self._socket.bind((self.name, _ALL))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"capture of {self.name}", daemon=True)
        self._thread.start()

    @property
    def netdev(self) -> str:
        """QEMU's words for the far end. No offload: what the card sends is what is on the cable."""
        return f"tap,ifname={self.name},script=no,downscript=no,vnet_hdr=off"

    def send(self, frames: list[bytes], *, per_second: float = 4000) -> None:
        """Put frames on the cable, at a pace at which an emulated card loses none."""
        begun = time.monotonic()
        with self.namespace.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((self.name, 0))
            for number, frame in enumerate(frames):
                out.send(frame)
                if (early := begun + number / per_second - time.monotonic()) > 0.01:
                    time.sleep(early)

    def from_vm(self, since: int = 0) -> list[Seen]:
        """Return what the VM has sent, from the frame with that number on."""
        return [item for item in self.seen[since:] if item.from_vm]

    def require_whole(self) -> None:
        """Fail unless every frame of either direction was captured, and none was lost on its way to the card."""
        _, dropped = struct.unpack("=II", self._socket.getsockopt(_PACKET, _STATISTICS, 8))
        assert dropped == 0, f"the capture of {self.name} missed {dropped} frames"
        (link,) = json.loads(self.namespace.run("ip", "-json", "-statistics", "link", "show", "dev", self.name))
        lost = link["stats64"]["tx"]["dropped"]
        assert lost == 0, f"{lost} frames never reached the VM's network card"

    def close(self) -> None:
        """Stop the capture and remove the device."""
        self._over.set()
        self._thread.join(10)
        self._socket.close()
        self.namespace.run("ip", "link", "delete", self.name)

    def _listen(self) -> None:
        while not self._over.is_set():
            if select.select([self._socket], [], [], 0.1)[0]:
                data, extra, _, origin = self._socket.recvmsg(1 << 16, 64)
                from_vm = origin[2] != socket.PACKET_OUTGOING
                self.seen.append(Seen(time.monotonic(), from_vm, _with_tag(data, extra)))


def _with_tag(data: bytes, extra: list) -> bytes:
    for level, kind, value in extra:
        if (level, kind) == (_PACKET, _AUXILIARY):
            status, _, _, _, _, tag, tag_type = _AUXDATA.unpack(value[: _AUXDATA.size])
            if status & _HAS_VLAN:
                return data[:12] + struct.pack("!HH", tag_type, tag) + data[12:]
    return data


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"network namespace: {os.strerror(number)} (root is needed)")


def available() -> str:
    """Say why there can be no such network here; nothing when there can."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    return "" if Path("/dev/net/tun").exists() else "this kernel has no tap devices (/dev/net/tun)"
