"""A stand-in for the kernel's configfs entry of TEE reports: pipes block where the kernel's attributes do."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

ENTRY = "sys/kernel/config/tsm/report/vitrine"
DEVICES = {"sev_guest": "dev/sev-guest", "tdx_guest": "dev/tdx_guest"}
_GENERATION = 7


class StandInKernel(threading.Thread):
    """Answers one request for a report over 64 bytes, as ``answer`` makes it; ``step`` is how the count moves."""

    def __init__(self, root: Path, provider: str, answer: Callable[[bytes], bytes]):
        super().__init__(daemon=True)
        self.entry, self.answer, self.step = root / ENTRY, answer, 1
        self.entry.mkdir(parents=True)
        (root / "dev").mkdir()
        (root / DEVICES[provider]).touch()
        (self.entry / "provider").write_text(f"{provider}\n")
        self._count(0)
        for name in ("inblob", "outblob"):
            os.mkfifo(self.entry / name)
        self.start()

    def run(self) -> None:
        data = (self.entry / "inblob").read_bytes()
        self._count(self.step)
        (self.entry / "outblob").write_bytes(self.answer(data))

    def _count(self, moved: int) -> None:
        (self.entry / "generation").write_text(f"{_GENERATION + moved}\n")
