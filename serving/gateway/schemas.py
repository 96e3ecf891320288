"""Judging what an engine compiles: schemas and patterns of a request, which become automata of the engine's.

The size of an automaton is no matter of the text's size alone: nesting and repetition multiply. So all of them are
bounded, and no reference leads out of the request. It does not prove that an engine compiles the rest quickly.
"""

from __future__ import annotations

import json
import re
from typing import Any

from serving.errors import RequestError
from serving.gateway.limits import Limits

_REPEATS = frozenset({"maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"})
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]|\{(\d*),?(\d*)\}", re.DOTALL)


def judge_schema(value: Any, name: str, limits: Limits) -> None:
    """Bound one field that holds schemas: bytes, depth, references, repetitions, patterns.

    Raises:
        RequestError: a bound is passed; the message names the field, never its content.
    """
    if len(json.dumps(value)) > limits.schema_bytes:
        raise _too_long(name, name, limits.schema_bytes)
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > limits.schema_depth:
            raise RequestError("invalid_value", f"{name} is nested deeper than {limits.schema_depth}.", param=name)
        for item in level:
            if isinstance(item, dict):
                _judge_object(item, name, limits)
        level = [part for item in level for part in _parts(item)]


def judge_pattern(pattern: str, name: str, limits: Limits) -> None:
    """Bound one regular expression: bytes, depth of groups, and the product of its counted repetitions.

    Raises:
        RequestError: a bound is passed.
    """
    if len(pattern.encode()) > limits.pattern_bytes:
        raise _too_long(f"A pattern in {name}", name, limits.pattern_bytes)
    depth, repeats = 0, 1
    for atom in _ATOM.finditer(pattern):
        depth += {"(": 1, ")": -1}.get(atom[0], 0)
        if atom[0].startswith("{"):
            repeats *= max(int(atom[1] or 1), int(atom[2] or 1), 1)
        if depth > limits.pattern_depth or repeats > limits.repeats:
            raise RequestError("invalid_value", f"A pattern in {name} is nested or repeated too much.", param=name)


def _parts(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _judge_object(item: dict[str, Any], name: str, limits: Limits) -> None:
    reference = item.get("$ref", "#")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise RequestError("invalid_value", f"{name}: only references within the schema.", param=name)
    for key in _REPEATS & item.keys():
        if isinstance(item[key], (int, float)) and item[key] > limits.repeats:
            raise RequestError("invalid_value", f"{name}: {key} is above {limits.repeats}.", param=name)
    properties = item.get("patternProperties")
    patterns = [item.get("pattern"), item.get("regex"), *(properties if isinstance(properties, dict) else ())]
    for pattern in patterns:
        if isinstance(pattern, str):
            judge_pattern(pattern, name, limits)


def _too_long(what: str, name: str, limit: int) -> RequestError:
    return RequestError("string_above_max_length", f"{what} has more than {limit} bytes.", param=name)
