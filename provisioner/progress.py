"""What long steps say while they work."""

from __future__ import annotations

import sys
from collections.abc import Callable

Progress = Callable[[str], None]


def say(line: str) -> None:
    """Say a line where the commands say theirs: on standard error."""
    sys.stderr.write(f"{line}\n")
