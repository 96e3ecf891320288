"""A machine with NVIDIA's library, as far as C code can tell: built from nvml.c, its GPUs sign with simulated keys."""

from __future__ import annotations

import base64
import os
import subprocess
import textwrap
import threading
from pathlib import Path

from tests.fakes.simulated_nvidia import SimulatedGpu

SOURCE = Path(__file__).with_name("nvml.c")


def build(folder: Path) -> Path:
    """Compile the library; a machine without a C compiler fails, it does not skip."""
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return library


def pem(certificates: tuple[bytes, ...]) -> bytes:
    blocks = ("\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64)) for der in certificates)
    body = "".join(f"-----BEGIN CERTIFICATE-----\n{block}\n-----END CERTIFICATE-----\n" for block in blocks)
    return body.encode()


class FakeMachine:
    """Its GPUs and its driver's state: ``set`` changes what the library answers from then on."""

    def __init__(self, folder: Path, gpus: tuple[SimulatedGpu, ...]):
        self.folder, self.gpus = folder, gpus
        self.state = folder / "state"
        self.nonces: list[bytes] = []
        self.state.write_text(f"count.0 {len(gpus)}\n")
        for index, gpu in enumerate(gpus):
            (folder / f"chain{index}").write_bytes(pem(gpu.certificates()))
            self._keep(f"chain.{index}", folder / f"chain{index}")
            for name in ("ask", "answer"):
                os.mkfifo(folder / f"{name}{index}")
                self._keep(f"{name}.{index}", folder / f"{name}{index}")
            threading.Thread(target=self._sign, args=(index,), daemon=True).start()

    def set(self, **values: int) -> None:
        """Change answers: ``cc=0``, or ``fail={"nvmlInit_v2": 9}`` through :meth:`fail`."""
        lines = self.state.read_text().splitlines()
        for name, value in values.items():
            key = f"{name.replace('_', '-')}.0 "
            lines = [line for line in lines if not line.startswith(key)] + [f"{key}{value}"]
        self.state.write_text("\n".join(lines) + "\n")

    def fail(self, function: str, code: int) -> None:
        """Let a function answer an error code."""
        self._append(f"fail:{function}.0 {code}")

    def lose(self, index: int, code: int = 15) -> None:
        """Let a GPU be lost."""
        self._append(f"lost.{index} {code}")

    def events(self, *numbers: int) -> None:
        """Let XID errors happen, once each."""
        for place, number in enumerate(numbers):
            self._append(f"xid.{place} {number}")

    def answers(self) -> dict[str, str]:
        """Return the state as it is now."""
        return dict(line.split(" ", 1) for line in self.state.read_text().splitlines())

    def _keep(self, name: str, value: Path) -> None:
        self._append(f"{name} {value}")

    def _append(self, line: str) -> None:
        with self.state.open("a") as file:
            file.write(f"{line}\n")

    def _sign(self, index: int) -> None:
        while True:
            nonce = (self.folder / f"ask{index}").read_bytes()
            self.nonces.append(nonce)
            (self.folder / f"answer{index}").write_bytes(self.gpus[index].evidence(nonce))
