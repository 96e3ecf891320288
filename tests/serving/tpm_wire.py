"""The wire between the attester and its TPM, held by a test: slow, silent, broken, or with another answer on it.

``python3 -m tests.serving.tpm_wire SWTPM PATH SECONDS`` is a wire on which every quote takes so long.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

QUOTE = 0x158
_HEADER = 10
_CHUNK = 4096


class TpmWire:
    """A socket that stands for swtpm's; what its attributes say happens to every quote that the TPM gives."""

    def __init__(self, swtpm: Path, path: Path):
        self.swtpm, self.path, self.quotes = swtpm, path, 0
        self.seconds = 0.0
        self.answering = threading.Event()  # nothing comes back while it is not set
        self.answering.set()
        self.change = lambda answer: answer
        self.cut = False
        self._open: list[socket.socket] = []
        for suffix, serve in (("", self._commands), (".ctrl", self._control)):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(f"{path}{suffix}")
            listener.listen()
            self._open.append(listener)
            threading.Thread(target=self._accept, args=(listener, suffix, serve), daemon=True).start()

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.path}"

    def close(self):
        self.answering.set()
        for channel in self._open:
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
            channel.close()

    def _accept(self, listener, suffix, serve):
        with suppress(OSError, struct.error):
            while True:
                near, _ = listener.accept()
                with near, socket.socket(socket.AF_UNIX) as far:
                    self._open.append(near)
                    far.connect(f"{self.swtpm}{suffix}")
                    serve(near, far)

    def _commands(self, near, far):
        while command := _message(near):
            far.sendall(command)
            answer = _message(far)
            # A TPM may say "again" before its first quote; the library does it again.
            if _code(command) == QUOTE and _code(answer) == 0:
                self.quotes += 1
                time.sleep(self.seconds)
                self.answering.wait()
                answer = self.change(answer)
                if self.cut:
                    return
            near.sendall(answer)

    def _control(self, near, far):
        while data := near.recv(_CHUNK):
            far.sendall(data)
            near.sendall(far.recv(_CHUNK))


def _code(message):
    return struct.unpack_from(">I", message, 6)[0]


def _message(channel):
    """Read one command or answer: tag, size and code, then the rest; nothing at the end."""
    head = _exactly(channel, _HEADER)
    return head + _exactly(channel, struct.unpack_from(">I", head, 2)[0] - _HEADER) if head else b""


def _exactly(channel, size):
    data = b""
    while len(data) < size:
        more = channel.recv(size - len(data))
        if not more:
            return b""
        data += more
    return data


if __name__ == "__main__":
    wire = TpmWire(Path(sys.argv[1]), Path(sys.argv[2]))
    wire.seconds = float(sys.argv[3])
    threading.Event().wait()
