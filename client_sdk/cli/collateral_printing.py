"""Tables about collateral, for people."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from client_sdk.cli.printing import console, progress
from client_sdk.fields import format_instant
from client_sdk.gather.collect import Collected
from client_sdk.gather.inventory import Inventory

_HEX = re.compile(r"[0-9a-f]{25,}")


def print_collected(collected: Collected, output: Path, *, changed: bool) -> None:
    """Print what was gathered, and from where."""
    rows = [(path, found.supplier) for found in collected.found for path in found.kept.files]
    _print("file", "from", rows=rows)
    if not rows:
        progress("this evidence needs no collateral")
    sys.stdout.write(f"{output}: {len(rows)} files, {'written' if changed else 'nothing was due'}\n")


def print_failures(collected: Collected) -> None:
    """Say why there is no collateral."""
    for failure in collected.failures:
        progress(f"vitrine: {failure}")
    kept = "; what was fetched is kept in the cache" if collected.found else ""
    progress(f"vitrine: incomplete, so the folder was not touched{kept}")


def print_inventory(found: Inventory, now: datetime) -> None:
    """Print each file with what it is and until when it is good."""
    rows = []
    for item in found.items:
        until = format_instant(item.contents.until) if item.contents else ""
        rows.append((item.row.path, item.contents.what if item.contents else "", until, item.state(now)))
    _print("file", "what", "until", "state", rows=rows)
    problems = found.problems(now)
    sys.stdout.write(f"gathered at {format_instant(found.gathered_at)}, {len(rows)} files")
    sys.stdout.write(f", good until {format_instant(found.until)}\n" if found.until else "\n")
    for problem in problems:
        progress(f"vitrine: {problem}")
    if problems:
        progress("vitrine: run `vitrine collateral fetch` again")


def _print(*titles: str, rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_HEX.sub(_shortened, cell)) for cell in row))
    console().print(table)


def _shortened(found: re.Match[str]) -> str:
    """Shorten a hash or a chip id: JSON has all of it."""
    return f"{found[0][:12]}…"
