"""What a unit of ours gives its program: for tests and measurements that start it without systemd."""

from __future__ import annotations

import re
from pathlib import Path

ROLES = Path(__file__).resolve().parents[2] / "roles"


def text(role: str, unit: str) -> str:
    """Return a unit as its role has it."""
    return (ROLES / role / "files/tree/usr/lib/systemd/system" / f"{unit}.j2").read_text()


def memory_settings(role: str, unit: str) -> dict[str, str]:
    """Return the environment by which a unit sets allocators up."""
    lines = re.findall(r"^Environment=(.*)$", text(role, unit), re.MULTILINE)
    given = dict(word.split("=", 1) for line in lines for word in line.split())
    return {name: value for name, value in given.items() if "MALLOC" in name or name == "GLIBC_TUNABLES"}
