"""Whether somebody listens on a UNIX socket. A path alone does not say so: it appears one call before ``listen``."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path


def listens(path: Path) -> bool:
    """Say whether a connection is taken there now."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def until_listens(process: subprocess.Popen[bytes], path: Path, seconds: float = 60) -> None:
    """Return once a process takes connections there; an AssertionError says that it ended, or took too long."""
    deadline = time.monotonic() + seconds
    while not listens(path):
        assert process.poll() is None, f"what was to listen on {path.name} ended: {_errors(process)}"
        assert time.monotonic() < deadline, f"nothing listens on {path.name}"
        time.sleep(0.02)


def _errors(process: subprocess.Popen[bytes]) -> str:
    return process.stderr.read().decode(errors="replace") if process.stderr else "see its output"
