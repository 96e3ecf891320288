"""Reading inventory variables strictly: which keys there may be, and what each may say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from provisioner.errors import Fault, SpecError

NAME = re.compile(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?")
_ALIKE = 0.75  # from here on a misspelt word is taken for another
Check = Callable[[object], str | None]
"""Returns what was expected when a value is not that, else None."""
Checks = Mapping[str, Check]


def refuse(faults: Iterator[Fault]) -> None:
    """Raise all faults at once, where there are any.

    Raises:
        SpecError: there are.
    """
    if found := tuple(faults):
        raise SpecError(found)


def faults(variables: Mapping[str, object], checks: Checks, *, required: tuple[str, ...]) -> Iterator[Fault]:
    """Yield what is missing, unknown or not what its check expects."""
    for key in required:
        if key not in variables:
            yield Fault(key, "a value", "nothing")
    for key, value in variables.items():
        expected = checks[key](value) if key in checks else None
        if expected is not None:
            yield Fault(key, expected, repr(value))
    yield from _unknown(tuple(str(key) for key in variables if key not in checks), checks)


def _unknown(keys: tuple[str, ...], checks: Checks) -> Iterator[Fault]:
    """Yield keys that nothing reads, each with the one that was probably meant; all that there are is told once."""
    known = sorted(checks)
    listed = f"one of {', '.join(known)}"
    for key in keys:
        close = get_close_matches(key, known, n=1, cutoff=_ALIKE)
        yield Fault(key, f"{close[0]}, perhaps" if close else listed, "an unknown key")
        listed = listed if close else "one of the same"


def name(value: object) -> str | None:
    """Expect a name that every cloud, file system and label takes."""
    if isinstance(value, str) and NAME.fullmatch(value):
        return None
    return "a lower-case letter, then at most 30 letters, digits and hyphens, the last one no hyphen"


def absolute_path(value: object) -> str | None:
    """Expect an absolute path."""
    if isinstance(value, str | Path) and Path(value).is_absolute() and str(value).isprintable():
        return None
    return "an absolute path of printable characters"


def whole_number(low: int, high: int) -> Check:
    """Expect an integer of a range, both ends included."""

    def check(value: object) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return f"a whole number from {low} to {high}"

    return check


def boolean(value: object) -> str | None:
    """Expect true or false."""
    return None if isinstance(value, bool) else "true or false"


def one_of(literal: object) -> Check:
    """Expect one of the words of a Literal."""
    choices = get_args(literal)

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and value in choices else f"one of {', '.join(choices)}"

    return check


def matching(pattern: str, expected: str) -> Check:
    """Expect text that an expression matches whole; ``expected`` says it in words."""
    expression = re.compile(pattern)

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and expression.fullmatch(value) else expected

    return check


def typed(variables: Mapping[str, Any], paths: frozenset[str]) -> dict[str, Any]:
    """Turn checked variables into a spec's fields: paths become paths, lists tuples."""
    return {
        key: Path(str(value)) if key in paths else tuple(value) if isinstance(value, list) else value
        for key, value in variables.items()
    }
