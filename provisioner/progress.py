"""What long steps say while they work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from client_sdk.errors import printable

Progress = Callable[[str], None]
PACE_SECONDS = 30.0


def plain(progress: Progress) -> Progress:
    """Return a progress that shows a line as text: it may quote a cloud, and a terminal obeys what it reads."""
    return lambda line: progress(printable(line))


def say(line: str) -> None:
    """Say a line where the commands say theirs: on standard error."""
    sys.stderr.write(f"{line}\n")


def paced(progress: Progress, *, every: float = PACE_SECONDS) -> Progress:
    """Return a progress for a wait: it passes a line on when so many seconds are over since the last, or the start."""
    last = time.monotonic()

    def pass_on(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            progress(line)

    return pass_on
