"""The serial console of a VM: what it said, and how far it has come."""

from __future__ import annotations

import re
from pathlib import Path

_TAIL = 1 << 16
_ESCAPE = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[=>c])")

READY = "VITRINE ready"
REFUSED = "VITRINE-REFUSED"
# What a boot prints, in order, and what it means to a person who waits.
STAGES = (
    ("BdsDxe: starting", "the firmware starts the image"),
    ("VITRINE initrd", "the kernel runs, the disks are opened"),
    (READY, "the gateway listens"),
)


def read_tail(path: Path) -> str:
    """Return the last 64 KiB of a console, without terminal control sequences; empty when there is none.

    Whatever it says comes from the guest, and a hostile guest says what it likes.
    """
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            raw = file.read(_TAIL)
    except FileNotFoundError:
        return ""
    text = _ESCAPE.sub("", raw.decode(errors="replace"))
    return "".join(char for char in text if char == "\n" or char.isprintable())


def lines(text: str) -> tuple[str, ...]:
    """Return the lines of a console that are not empty."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def last_lines(text: str, count: int = 5) -> str:
    """Return the last few lines, for an error message."""
    return " | ".join(lines(text)[-count:]) or "nothing"


def refusal(text: str) -> str | None:
    """Return the line in which the image says why it will not run, or None."""
    return next((line for line in lines(text) if line.startswith(REFUSED)), None)


def stages_reached(text: str) -> int:
    """Return how many of STAGES lie behind, judged by the last one that the console shows."""
    found = lines(text)
    shown = (any(line.startswith(marker) for line in found) for marker, _ in STAGES)
    return max((number for number, seen in enumerate(shown, 1) if seen), default=0)
