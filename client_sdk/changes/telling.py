"""Changes in words for people, and as data for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from client_sdk.changes.alarms import alarms
from client_sdk.changes.compare import CHANGED, GONE, NEW, Change, Section
from client_sdk.errors import printable

_SHORT = 16


def words(change: Change) -> str:
    """Say a change in one line, with digests cut to their first digits: they differ, and nobody reads them."""
    old, new = _shorter(change.before or ""), _shorter(change.after or "")
    said = {NEW: f"new, {new}", GONE: f"gone, was {old}", CHANGED: f"{old} → {new}"}[change.kind]
    return printable(f"{change.what}: {said}" + (f" ({change.note})" if change.note else ""))


def lines(sections: Iterable[Section]) -> Iterator[str]:
    """Say all of it for a terminal, what a reader must not miss first."""
    sections = tuple(sections)
    if not sections:
        yield "Nothing changed."
    yield from map(printable, alarms(sections))
    for section in sections:
        yield printable(f"{section.title}: {section.summary}")
        yield from (f"  {words(change)}" for change in section.changes)


def as_dicts(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Return all of it for programs, with whole digests."""
    return [
        {
            "key": section.key,
            "title": section.title,
            "alike": section.alike,
            "changes": [
                {"what": c.what, "kind": c.kind, "before": c.before, "after": c.after, "note": c.note}
                for c in section.changes
            ],
        }
        for section in sections
    ]


def _shorter(said: str) -> str:
    """Cut digests; versions, words and paths are said whole."""
    is_digest = len(said) >= 40 and not set(said) - set("0123456789abcdef")
    return f"{said[:_SHORT]}…" if is_digest else said
