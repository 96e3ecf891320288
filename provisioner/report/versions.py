"""The order of Debian's versions, as dpkg has it."""

from __future__ import annotations

import subprocess
from functools import cache

from provisioner.errors import BakeError

_TRUE, _FALSE = 0, 1


@cache
def is_older(version: str, other: str) -> bool:
    """Say whether a version comes before another one.

    Raises:
        BakeError: one of them is no version.
    """
    done = subprocess.run(
        ["dpkg", "--compare-versions", version, "lt", other], capture_output=True, check=False, text=True
    )
    # It warns of what is no version, and compares it all the same; nothing at all it takes for the oldest.
    if done.returncode not in (_TRUE, _FALSE) or done.stderr or not (version and other):
        raise BakeError(f"dpkg cannot compare the versions {version!r} and {other!r}: {done.stderr.strip()}")
    return done.returncode == _TRUE
