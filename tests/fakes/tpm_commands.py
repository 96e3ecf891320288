"""TPM commands in bytes, to a swtpm of a test's own: what a cloud does to a TPM before its VM boots.

It needs no TPM library, so that it runs beside the client as well as inside the tools tree.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sockets import until_listens

OWNER, ENDORSEMENT = 0x40000001, 0x4000000B
OWNER_WRITE, AUTH_WRITE, OWNER_READ, AUTH_READ, NO_DA = 1 << 1, 1 << 2, 1 << 17, 1 << 18, 1 << 25
MAX_NV = 2048
"""What libtpms takes for one NV index."""
_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_PASSWORD = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
_CHUNK = 512
_SECONDS = 20.0


class TpmFailure(Exception):  # noqa: N818 - it is a test's own mistake
    """The TPM refused what a test asked for."""


class RawTpm:
    """One open connection to a swtpm."""

    def __init__(self, channel: socket.socket):
        self._channel = channel

    def make_primary(self, template: bytes) -> tuple[int, bytes]:
        """Make an endorsement primary; return its handle and public area."""
        sensitive = _sized(struct.pack(">HH", 0, 0))
        body = sensitive + _sized(template) + _sized(b"") + struct.pack(">I", 0)
        answer = self._ask(0x131, (ENDORSEMENT,), body)
        handle, _, size = struct.unpack_from(">IIH", answer)
        return handle, answer[10 : 10 + size]

    def persist(self, handle: int, persistent: int) -> None:
        """Make a key persistent, and flush what it was made from."""
        self._ask(0x120, (OWNER, handle), struct.pack(">I", persistent))
        self.flush(handle)

    def flush(self, handle: int) -> None:
        self._ask(0x165, None, struct.pack(">I", handle))

    def write_nv(self, index: int, data: bytes) -> None:
        """Define an index of the data's size and write it."""
        attributes = OWNER_WRITE | AUTH_WRITE | OWNER_READ | AUTH_READ | NO_DA
        area = struct.pack(">IHIHH", index, 0x000B, attributes, 0, len(data))
        self._ask(0x12A, (OWNER,), _sized(b"") + _sized(area))
        self.rewrite_nv(index, data)

    def rewrite_nv(self, index: int, data: bytes) -> None:
        """Write an index that is there."""
        for offset in range(0, len(data), _CHUNK):
            part = data[offset : offset + _CHUNK]
            self._ask(0x137, (OWNER, index), _sized(part) + struct.pack(">H", offset))

    def remove_nv(self, index: int) -> None:
        self._ask(0x122, (OWNER, index), b"")

    def extend(self, pcr: int, digest: bytes) -> None:
        """Extend a PCR's SHA-256 bank."""
        self._ask(0x182, (pcr,), struct.pack(">IH", 1, 0x000B) + digest)

    def shut_down(self) -> None:
        self._ask(0x145, None, struct.pack(">H", 0))

    def _ask(self, code: int, handles: tuple[int, ...] | None, body: bytes) -> bytes:
        """Send a command; with handles, the first is authorised by an empty password. Return what follows the head."""
        tag, middle = _NO_SESSIONS, b""
        if handles is not None:
            tag = _SESSIONS
            middle = b"".join(struct.pack(">I", handle) for handle in handles)
            middle += struct.pack(">I", len(_PASSWORD)) + _PASSWORD
        self._channel.sendall(struct.pack(">HII", tag, 10 + len(middle) + len(body), code) + middle + body)
        answer = self._channel.recv(10, socket.MSG_WAITALL)
        _, size, status = struct.unpack(">HII", answer)
        if status:
            raise TpmFailure(f"command {code:#x} to {handles}: {status:#010x}")
        return self._channel.recv(size - 10, socket.MSG_WAITALL) if size > 10 else b""


def command(state: Path, sockets: Path) -> list[str]:
    """Return the command of a swtpm whose state lies in a folder and that listens in another."""
    argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear"]
    return [*argv, "--server", f"type=unixio,path={sockets}/tpm", "--ctrl", f"type=unixio,path={sockets}/tpm.ctrl"]


@contextmanager
def open_tpm(state: Path) -> Iterator[RawTpm]:
    """Run a swtpm over a state folder, made where it is empty, for as long as the block lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="tpm-") as folder,
        running(state, Path(folder)) as path,
        connected(path) as tpm,
    ):
        yield tpm
        tpm.shut_down()


@contextmanager
def running(state: Path, sockets: Path) -> Iterator[Path]:
    """Run a swtpm for as long as the block lasts; return the socket that takes its commands."""
    process = subprocess.Popen(command(state, sockets), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for name in ("tpm", "tpm.ctrl"):
            until_listens(process, sockets / name, _SECONDS)
        yield sockets / "tpm"
    finally:
        process.terminate()
        process.wait(_SECONDS)


@contextmanager
def connected(path: Path) -> Iterator[RawTpm]:
    """Open a connection to a swtpm that runs."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(_SECONDS)
        channel.connect(str(path))
        yield RawTpm(channel)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
