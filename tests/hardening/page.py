"""The tables of docs/hardening/numbers.md, and the reasons for every line that a judge is not content with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/hardening/numbers.md"
REASONS = Path(__file__).with_name("reasons.json")


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that have one reason."""

    why: str
    lines: tuple[str, ...]

    def takes(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.lines)


def groups(which: str) -> tuple[Group, ...]:
    """Return the reasons for one judge's lines."""
    return tuple(Group(entry["why"], tuple(entry["lines"])) for entry in json.loads(REASONS.read_text())[which])


def skipped() -> tuple[str, ...]:
    """Return the tests that are not asked for."""
    return tuple(json.loads(REASONS.read_text())["lynis_skipped"]["tests"])


def grouped(names: Iterable[str], reasons: Sequence[Group]) -> list[tuple[Group, list[str]]]:
    """Put every line under its one reason; one without, or a reason for nothing, is a mistake."""
    failed = sorted(set(names))
    found = [(group, [name for name in failed if group.takes(name)]) for group in reasons]
    told = [name for _, taken in found for name in taken]
    if missing := sorted(set(failed) - set(told)):
        raise SystemExit(f"no reason is written down for {', '.join(missing)} ({REASONS.name})")
    if twice := sorted({name for name in told if told.count(name) > 1}):
        raise SystemExit(f"more than one reason for {', '.join(twice)} ({REASONS.name})")
    idle = [line for group in reasons for line in group.lines if not any(fnmatchcase(n, line) for n in failed)]
    if idle:
        raise SystemExit(f"a reason for what no judge says: {', '.join(idle)} ({REASONS.name})")
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def reasons_table(found: Iterable[tuple[Group, list[str]]]) -> str:
    """Write what is not reached, by reason."""
    return table(("lines", "reason"), ((", ".join(f"`{n}`" for n in names), group.why) for group, names in found))


def replace(text: str, tables: Mapping[str, str]) -> str:
    """Put each table between its marks; a table without marks, or marks without a table, is a mistake."""
    marks = [name for name in re.findall(r"<!-- (\w+) -->", text) if name != "end"]
    if sorted(marks) != sorted(tables):
        raise SystemExit(f"{PAGE.name}: marks {marks}, tables {list(tables)}")
    for name, told in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda match, told=told: f"{match[1]}\n{told}\n{match[2]}", text, flags=re.DOTALL)
    return text
