"""The rules of the refuse gate, read from one data file."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib import resources
from typing import Any

from provisioner.errors import BakeError
from provisioner.gate.checks import CHECKS
from provisioner.gate.rule import Rule

VERSION = 1


def shipped_rules() -> tuple[Rule, ...]:
    """Read the rules that come with this package.

    Raises:
        BakeError: the data file is not what this code understands.
    """
    text = resources.files("provisioner.gate").joinpath("data", "rules.json").read_text()
    return parse_rules(text)


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Read rules strictly: a misspelt key or check would be a rule that never fires.

    Raises:
        BakeError: a rule is malformed; it names the rule.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BakeError(f"gate rules: not JSON: {error}") from error
    if not isinstance(document, dict) or set(document) != {"version", "rules"} or document["version"] != VERSION:
        raise BakeError(f"gate rules: expected exactly version {VERSION} and rules")
    rules = tuple(_rule(entry) for entry in document["rules"])
    if not rules:
        raise BakeError("gate rules: the list is empty, so the gate would refuse nothing")
    if len({rule.id for rule in rules}) != len(rules):
        raise BakeError("gate rules: an id appears twice")
    return rules


def _rule(entry: dict[str, Any]) -> Rule:
    name = entry.get("id", "?") if isinstance(entry, dict) else "?"
    known = {field.name for field in fields(Rule)}
    if not isinstance(entry, dict) or not (known - {"expression", "not_in"} <= set(entry) <= known):
        raise BakeError(f"gate rule {name}: expected the keys {', '.join(sorted(known))}")
    if entry["check"] not in CHECKS:
        raise BakeError(f"gate rule {name}: unknown check {entry['check']!r}")
    if not entry["patterns"] or (entry["check"] == "content") != ("expression" in entry):
        raise BakeError(f"gate rule {name}: needs patterns, and an expression exactly when the check is content")
    if entry.get("not_in", "debug") != "debug":
        raise BakeError(f"gate rule {name}: only a debug image may go without a rule, not {entry['not_in']!r}")
    return Rule(**{**entry, "patterns": tuple(entry["patterns"])})
