"""What long steps say while they work."""

from __future__ import annotations

import sys
from collections.abc import Callable

from client_sdk.errors import printable

Progress = Callable[[str], None]


def plain(progress: Progress) -> Progress:
    """Return a progress that shows a line as text: it may quote a cloud, and a terminal obeys what it reads."""
    return lambda line: progress(printable(line))


def say(line: str) -> None:
    """Say a line where the commands say theirs: on standard error."""
    sys.stderr.write(f"{line}\n")
