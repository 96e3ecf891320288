"""The serial console as a host may have it: with somebody who types, and who can send a BREAK."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Self

from tests.e2e.machine import Machine

_FILE = "file,id=console,path=console.log"
_TERMINAL = "socket,id=console,path=serial.sock,server=on,wait=off,telnet=on,logfile=console.log"
# Telnet's own word for it (RFC 854): QEMU makes a BREAK on the line of it.
_BREAK = b"\xff\xf3"


def with_terminal(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Give a VM a console that is still recorded, and takes input as well."""
    assert _FILE in argv
    return tuple(_TERMINAL if word == _FILE else word for word in argv)


class Terminal:
    """Somebody at the console of a VM."""

    def __init__(self, target: Machine) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        folder = os.open(target.root / "vms" / target.name, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(str(Path("/proc/self/fd") / str(folder) / "serial.sock"))
        finally:
            os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def type(self, text: bytes) -> None:
        """Type something; what the guest says meanwhile is read and dropped."""
        self._socket.sendall(text)
        self._socket.setblocking(False)
        try:
            while self._socket.recv(65536):
                pass
        except BlockingIOError:
            pass
        finally:
            self._socket.setblocking(True)

    def sysrq(self, letter: str) -> None:
        """Send a BREAK and a letter: a command for the kernel, where it takes any."""
        self.type(_BREAK + letter.encode())
