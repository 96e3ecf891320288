"""What a caller hands over is what it looks like: it is refused when it is given, with what to write in its place.

Python takes a string for a tuple, a class for its object and a truth for a number. Where such a slip would judge by
mistake, or fail far from its cause, one of these functions says so. They look at types and ranges and at nothing else.
"""

from __future__ import annotations

import math
import os
from datetime import datetime
from pathlib import PurePath
from types import UnionType

from client_sdk.errors import FieldError

MAX_SHOWN = 64
Kinds = type | tuple[type, ...] | UnionType


def require(value: object, kinds: Kinds, where: str, *, expected: str, remedy: str) -> None:
    """Refuse a value of another type.

    Raises:
        FieldError: with the place, and what to write.
    """
    if not isinstance(value, kinds):
        raise FieldError(where, expected, told(value), remedy)


def require_all(values: object, kinds: Kinds, where: str, *, expected: str, remedy: str) -> None:
    """Refuse what is no tuple (a string would be taken apart into characters), and an item of another type.

    Raises:
        FieldError: with the place, and what to write.
    """
    if not isinstance(values, tuple):
        raise FieldError(where, expected, told(values), remedy)
    for i, value in enumerate(values):
        require(value, kinds, f"{where}[{i}]", expected=expected, remedy=remedy)


def require_number(value: object, where: str, *, low: int = 0, high: int = 2**63 - 1) -> None:
    """Refuse what is no whole number in a range; true is none.

    Raises:
        FieldError: with the place, and what to write.
    """
    if type(value) is not int or not low <= value <= high:
        expected = f"a whole number from {low} to {high}" if high < 2**32 else f"a whole number of at least {low}"
        raise FieldError(where, expected, told(value), "give such a number")


def require_reason(why: object, where: str) -> None:
    """Refuse a reason that says nothing.

    Raises:
        FieldError: with the place, and what to write.
    """
    if not isinstance(why, str) or not why.strip():
        raise FieldError(where, "a reason in words, which will stand in every report", told(why), "say why")


def told(value: object) -> str:
    """Spell what was handed over, so that whoever did recognises it; bytes may be secret, or many."""
    if isinstance(value, type):
        return f"the class {value.__name__}, not an object of it"
    if value is None or isinstance(value, (str, bool, int, float)):
        text = "a number of many digits" if isinstance(value, int) and value.bit_length() > MAX_SHOWN else repr(value)
        return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return f"a value of the type {type(value).__name__}"


def require_bytes(value: object, where: str, *, remedy: str = "give its bytes") -> None:
    """Refuse what is no bytes; of a path it says how to read it.

    Raises:
        FieldError: with the place, and what to write.
    """
    if isinstance(value, (str, PurePath)):
        remedy = f"where this is a path, write Path({str(value)[:MAX_SHOWN]!r}).read_bytes()"
    require(value, bytes, where, expected="bytes, as they were received", remedy=remedy)


def require_instant(value: object, where: str) -> None:
    """Refuse an instant without a time zone: which one was meant, nobody can know.

    Raises:
        FieldError: with the place, and what to write.
    """
    if not isinstance(value, datetime) or value.utcoffset() is None:
        got = "one without" if isinstance(value, datetime) else told(value)
        raise FieldError(where, "an instant with its time zone", got, "write datetime.now(UTC), or give it tzinfo=UTC")


def require_seconds(value: object, where: str) -> None:
    """Refuse what is no time in seconds.

    Raises:
        FieldError: with the place, and what to write.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise FieldError(where, "a number of seconds", told(value), f"write {where}=60")


def require_path(value: object, where: str) -> None:
    """Refuse text that no file can be named: with a NUL in it, or half of a surrogate pair.

    Raises:
        FieldError: with the place, and what to write.
    """
    try:
        named = b"\0" not in os.fsencode(str(value))
    except UnicodeEncodeError:
        named = False
    if not named:
        raise FieldError(where, "the path of a file or folder", ascii(str(value)[:MAX_SHOWN]), "give a path")
