"""The shell of a debug image, as a developer uses it: one command after the other through the console's socket."""

from __future__ import annotations

import base64
import os
import socket
import time
from itertools import count
from pathlib import Path

_numbers = count(1)


class Shell:
    """What is sent is echoed by the terminal; an answer is what stands between two marks that the shell makes."""

    def __init__(self, path: Path, *, seconds: float) -> None:
        self.said = ""
        self._deadline = time.monotonic() + seconds
        self._socket = socket.socket(socket.AF_UNIX)
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            # The path of a VM's folder may be too long for a socket's address.
            self._socket.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        self._socket.settimeout(1)

    def ready(self) -> None:
        """Wait until the shell answers: nobody reads the line before, and what is sent is lost."""
        while "HELLO" not in self.said:
            self._socket.sendall(b"echo HEL''LO\n")
            self._wait("HELLO", time.monotonic() + 5)
            assert time.monotonic() < self._deadline, f"no shell: {self.said[-600:]}"
        self.run("true")

    def _wait(self, text: str, until: float) -> None:
        while text not in self.said and time.monotonic() < until:
            try:
                came = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            assert came, f"the VM has ended: {self.said[-600:]}"
            self.said += came.decode(errors="replace").replace("\r", "")

    def run(self, command: str) -> str:
        """Run a command; return what it printed."""
        number = next(_numbers)
        self.said = ""
        self._socket.sendall(f"echo BEG''IN{number}; {command}; echo EN''D{number}\n".encode())
        self._wait(f"END{number}", self._deadline)
        assert f"END{number}" in self.said, f"no answer to {command}: {self.said[-600:]}"
        return self.said.partition(f"BEGIN{number}\n")[2].partition(f"END{number}")[0]

    def python(self, program: str) -> str:
        """Run a program; return what it printed. Whole, it would end the terminal's line at its first."""
        encoded = base64.b64encode(program.encode()).decode()
        return self.run(f"python3 -S -c 'import base64; exec(base64.b64decode(\"{encoded}\"))'")

    def close(self) -> None:
        self._socket.close()
