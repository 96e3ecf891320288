"""The registry of rules: which function keeps which rule. It is made by the functions themselves.

``@keeps("Q1.1", "Q1.2")`` stands over a function whose body records exactly these checks in a ledger. It changes
nothing about the function; a test compares the ids in the body with those of the decorator, so that neither can be
forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Kept = TypeVar("Kept", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Keeper:
    """The function that keeps a rule, by module and name, and the first line of what it says about itself."""

    rule: str
    module: str
    function: str
    what: str


_KEEPERS: list[Keeper] = []


def keeps(*rules: str) -> Callable[[Kept], Kept]:
    """Register the decorated function as the keeper of these rules."""

    def register(function: Kept) -> Kept:
        what = (function.__doc__ or "").partition("\n")[0]
        _KEEPERS.extend(Keeper(rule, function.__module__, function.__qualname__, what) for rule in rules)
        return function

    return register


def broader(rule: str) -> tuple[str, ...]:
    """Return an id and the ids that it is a part of, narrowest first: L7.pcr9, L7.pcr, L7."""
    parts, found = rule.split("."), []
    for length in range(len(parts), 0, -1):
        found.append(".".join(parts[:length]))
        if length > 1 and parts[length - 1][:1].isalpha() and (family := found[-1].rstrip("0123456789")) != found[-1]:
            found.append(family)
    return tuple(found)


def keepers() -> tuple[Keeper, ...]:
    """Return every keeper of the modules that are imported so far, in the order of their definition."""
    return tuple(_KEEPERS)
