"""One vector before it is written: a request to a stage, and what must come of it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A request. Without ``rules`` it is a control; with them it is refused; ``control`` is what it was made from."""

    stage: str
    what: str
    request: Request
    rules: tuple[str, ...] = ()
    control: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.stage}/{slug(self.what)}")


@dataclass(frozen=True, slots=True)
class Family:
    """Collects the cases of a stage; an attack belongs to the control that was added last."""

    stage: str
    cases: list[Case] = field(default_factory=list)

    def control(self, what: str, request: Request) -> None:
        self.cases.append(Case(self.stage, f"control: {what}", request))

    def attack(self, what: str, rules: str | tuple[str, ...] | list[str], request: Request) -> None:
        control = next(case.id for case in reversed(self.cases) if not case.rules)
        named = (rules,) if isinstance(rules, str) else tuple(rules)
        self.cases.append(Case(self.stage, what, request, named, control))


def slug(text: str) -> str:
    """Name a case: lower case, words with hyphens between."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def merged(request: Request, **changes: Any) -> Request:
    """Change fields of a request; one level below as well, and None takes a field away."""
    found = dict(request)
    for name, value in changes.items():
        old = found.get(name)
        found[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return {name: value for name, value in found.items() if value is not None}
