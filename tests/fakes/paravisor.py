"""A stand-in for Azure's paravisor: between a guest and its software TPM, it makes a report of what the guest wrote."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.fakes.cloud_tpm import AZURE_REPORT, AZURE_USER_DATA
from tests.fakes.tpm_commands import RawTpm

_HEAD = 10
_NV_WRITE = 0x137
_USER_DATA_SIZE = 64


class StandInParavisor(threading.Thread):
    """Listens at ``path`` and passes on to the TPM at ``tpm``; ``report`` makes a report that repeats 64 bytes."""

    def __init__(self, path: Path, tpm: Path, report: Callable[[bytes], bytes]):
        super().__init__(daemon=True)
        self._tpm, self._report = tpm, report
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self.start()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self._listener.accept()
                with guest, socket.socket(socket.AF_UNIX) as tpm:
                    tpm.connect(str(self._tpm))
                    self._serve(guest, tpm)

    def close(self) -> None:
        self._listener.close()

    def _serve(self, guest: socket.socket, tpm: socket.socket) -> None:
        while command := _message(guest):
            tpm.sendall(command)
            answer = _message(tpm)
            _, _, code, _, index = struct.unpack_from(">HIIII", command.ljust(18, b"\0"))
            if (code, index) == (_NV_WRITE, AZURE_USER_DATA) and answer[6:_HEAD] == bytes(4):
                data = command[-_USER_DATA_SIZE - 2 : -2]  # an offset of two bytes ends the command
                RawTpm(tpm).rewrite_nv(AZURE_REPORT, self._report(data))
            guest.sendall(answer)


def _message(channel: socket.socket) -> bytes:
    head = channel.recv(_HEAD, socket.MSG_WAITALL)
    if len(head) < _HEAD:
        return b""
    left = int.from_bytes(head[2:6], "big") - _HEAD
    return head + (channel.recv(left, socket.MSG_WAITALL) if left else b"")
