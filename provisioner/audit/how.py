"""How two versions of a file differ: text line by line, everything else by diffoscope where that is installed."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import tempfile
from pathlib import Path

from client_sdk.errors import printable
from provisioner.audit.inside import difference

_LINES = 40
_SECONDS = 120
_TEXT = 1 << 20
_LONG = 200


def how(where: str, before: bytes, after: bytes) -> tuple[str, ...]:
    """Show how two versions of a file differ, in at most some dozens of lines."""
    old, new = _text(before), _text(after)
    if old is not None and new is not None:
        lines = list(difflib.unified_diff(old, new, "published", "rebuilt", n=1, lineterm=""))
        return _short([printable(line) for line in lines])
    at = difference(before, after)
    place = f"the first difference is byte {at:#x}: {_around(before, at)} and {_around(after, at)}"
    return (place, *_diffoscope(where, before, after))


def _text(data: bytes) -> list[str] | None:
    if len(data) > _TEXT or b"\0" in data:
        return None
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        return None
    # A command line or minified code is one long line: word by word it can be read.
    return [word for line in lines for word in (line.split(" ") if len(line) > _LONG else [line])]


def _around(data: bytes, at: int) -> str:
    return data[at : at + 8].hex(" ") or "the end"


def _diffoscope(where: str, before: bytes, after: bytes) -> tuple[str, ...]:
    program = shutil.which("diffoscope")
    if program is None:
        return ("install Debian's package diffoscope to see what differs inside binary files",)
    name = Path(where.partition(":")[2]).name or "file"
    with tempfile.TemporaryDirectory(prefix="vitrine-audit-") as folder:
        for side, data in (("published", before), ("rebuilt", after)):
            (Path(folder) / side).mkdir()
            (Path(folder) / side / name).write_bytes(data)
        words = [program, "--text", "-", "--no-progress", f"published/{name}", f"rebuilt/{name}"]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return (f"diffoscope did not finish: {type(error).__name__}",)
    # 1 says that it found differences; anything else, that it could not look.
    if done.returncode != 1:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        return (f"diffoscope failed with status {done.returncode}: {printable(last[0])}",)
    return _short([printable(line) for line in done.stdout.decode("utf-8", "replace").splitlines()])


def _short(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - _LINES
    return (*lines[:_LINES], f"… {more} more lines") if more > 0 else tuple(lines)
