"""Reading JSON objects field by field: exact keys, exact types, a path in every error (rules F1, F3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from client_sdk.errors import EvidenceError

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
MAX_TEXT = 4096
MAX_ITEMS = 100_000


def exact_keys(value: Any, keys: frozenset[str], where: str) -> dict[str, Any]:
    """Return the object when it has exactly these keys."""
    if not isinstance(value, dict):
        raise EvidenceError(where, "not an object")
    if missing := sorted(keys - value.keys()):
        raise EvidenceError(where, f"missing {', '.join(missing)}")
    if unknown := sorted(value.keys() - keys):
        raise EvidenceError(where, f"unknown key {unknown[0][:64]!r}")
    return value


def integer(value: Any, where: str, *, low: int = 0, high: int = 2**63 - 1) -> int:
    """Return an integer in the range; booleans are not integers here."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise EvidenceError(where, f"not an integer from {low} to {high}")
    return value


def text(value: Any, where: str, *, limit: int = MAX_TEXT) -> str:
    """Return a string of at most ``limit`` printable characters."""
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise EvidenceError(where, f"not a printable string of at most {limit} characters")
    return value


def items(value: Any, where: str, *, limit: int = MAX_ITEMS) -> list[Any]:
    """Return a list of at most ``limit`` items."""
    if not isinstance(value, list) or len(value) > limit:
        raise EvidenceError(where, f"not a list of at most {limit} items")
    return value


def mapping(value: Any, where: str, *, limit: int = MAX_ITEMS) -> dict[str, Any]:
    """Return an object with free keys, at most ``limit`` of them."""
    if not isinstance(value, dict) or len(value) > limit:
        raise EvidenceError(where, f"not an object of at most {limit} keys")
    return value


def version(value: Any, where: str, known: int) -> int:
    """Return the format's version when it is the one this code reads."""
    if isinstance(value, bool) or value != known:
        raise EvidenceError(where, f"this client reads version {known}; update the client or the peer")
    return known


def instant(value: Any, where: str) -> datetime:
    """Return a UTC instant in the one spelling ``2026-01-31T12:00:00Z``."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise EvidenceError(where, "not an instant like 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise EvidenceError(where, "not an instant like 2026-01-31T12:00:00Z") from error


def format_instant(value: datetime) -> str:
    """Spell a UTC instant in the one way that :func:`instant` reads."""
    return value.astimezone(UTC).strftime(_TIME)
