"""A QMP client: one connection, one command at a time, every wait limited."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from provisioner.errors import CloudError

_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where a QEMU listens, and how long to wait for any one answer of it."""

    path: Path
    seconds: float = 10.0


class Qmp:
    """A connection to one QEMU. An answer says what QEMU thinks; the guest inside may be in any state.

    Raises:
        CloudError: every fault of the other side.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._buffer = b""
        self._socket = _connect(address)
        try:
            self._greet()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Run one command and return what it returns; events that arrive meanwhile are dropped."""
        return self._roundtrip(command, arguments, [])

    def send_file(self, name: str, descriptor: int) -> None:
        """Hand an open file to QEMU, which then knows it by that name; for whoever saves a VM's state, as tests do."""
        self._roundtrip("getfd", {"fdname": name}, [descriptor])

    def _greet(self) -> None:
        if "QMP" not in self._message(self._deadline()):
            raise self._fault("what answers there is not QMP")
        self.execute("qmp_capabilities")

    def _roundtrip(self, command: str, arguments: Mapping[str, object] | None, files: list[int]) -> Any:
        request = {"execute": command, "arguments": dict(arguments or {})}
        deadline = self._deadline()
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], files)
        except OSError as error:
            raise self._fault(f"cannot send {command}: {error}") from error
        while True:
            answer = self._message(deadline)
            if "error" in answer:
                raise self._fault(f"{command} refused: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise self._fault(f"a line of more than {_LONGEST_LINE} bytes")
            self._buffer += self._receive(deadline)
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._fault(f"an answer that is not JSON: {line[:80]!r}") from error
        if not isinstance(message, dict):
            raise self._fault(f"an answer that is not an object: {line[:80]!r}")
        return message

    def _receive(self, deadline: float) -> bytes:
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(65536)
        except TimeoutError as error:
            raise self._fault(f"no answer within {self._address.seconds:.0f} s") from error
        except OSError as error:
            raise self._fault(f"the connection broke: {error}") from error
        if not data:
            raise self._fault("QEMU closed the connection")
        return data

    def _deadline(self) -> float:
        return time.monotonic() + self._address.seconds

    def _fault(self, what: str) -> CloudError:
        return CloudError(f"QMP at {self._address.path}: {what}; `make destroy` removes this VM")


def _connect(address: Address) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(address.seconds)
    try:
        # A socket's path may not be longer than 107 bytes; through the folder's descriptor it never is.
        folder = os.open(address.path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{address.path.name}")
        finally:
            os.close(folder)
    except OSError as error:
        connection.close()
        raise CloudError(f"QMP at {address.path}: cannot connect: {error}") from error
    return connection
