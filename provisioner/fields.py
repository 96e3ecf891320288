"""Reading inventory variables strictly: which keys there may be, and what each may say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from provisioner.errors import Fault, SpecError

NAME = re.compile(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?")
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
        if key not in checks:
            yield Fault(str(key), f"one of {', '.join(sorted(checks))}", "an unknown key")
            continue
        expected = checks[key](value)
        if expected is not None:
            yield Fault(key, expected, repr(value))


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
