"""Judging what an engine compiles: schemas and patterns of a request, which become automata of the engine's.

The size of an automaton is no matter of the text's size alone: nesting and repetition multiply, and what ``allOf``
takes in is written out anew at each place. So all of them are bounded, no reference leads out of the request, and none
leads in a circle. It does not prove that an engine compiles the rest quickly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any

from serving.errors import RequestError
from serving.gateway.limits import Limits
from serving.gateway.patterns import judge_pattern, too_much

_REPEATS = frozenset({"maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"})
_REFERENCE = re.compile(r"#(?:/[^/~%]+)*")  # no escapes: engines read them differently
_PLACES = (("json_schema", "schema"), ("format", "schema"), ("function", "parameters"), ("parameters",), ("json",))
"""Where in a field, or in each part of one that is a list, a schema is: what its references begin at."""
_CHOICES, _MERGED = ("anyOf", "oneOf"), "allOf"
Object = dict[str, Any]
Place = tuple[int, bool]
"""An object by its identity, and whether it is read to be merged into another one."""


def judge_schemas(fields: Mapping[str, Any], limits: Limits) -> None:
    """Bound all fields that hold schemas, their bytes together.

    Raises:
        RequestError: a bound is passed; the message names the field, never its content.
    """
    left = limits.schema_bytes
    for name, value in fields.items():
        left -= len(json.dumps(value))
        if left < 0:
            message = f"Schemas have more than {limits.schema_bytes} bytes together."
            raise RequestError("string_above_max_length", message, param=name)
    for name, value in fields.items():
        _judge_schema(value, name, limits)


def _judge_schema(value: Any, name: str, limits: Limits) -> None:
    level, depth, objects = [value], 0, []
    while level:
        depth += 1
        if depth > limits.schema_depth:
            raise RequestError("invalid_value", f"{name} is nested deeper than {limits.schema_depth}.", param=name)
        found = [item for item in level if isinstance(item, dict)]
        for item in found:
            _judge_object(item, name, limits)
        objects += found
        level = [part for item in level for part in _parts(item)]
    if sum(judge_pattern(pattern, name, limits) for item in objects for pattern in _patterns(item)) > limits.loose:
        raise too_much(name)
    _judge_references(objects, _References(value, limits), name, limits)


def _parts(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _judge_object(item: Object, name: str, limits: Limits) -> None:
    reference = item.get("$ref", "#")
    if isinstance(reference, str) and not _REFERENCE.fullmatch(reference):
        raise RequestError("invalid_value", f"{name}: only plain references within the schema.", param=name)
    for key in _REPEATS & item.keys():
        if isinstance(item[key], (int, float)) and item[key] > limits.repeats:
            raise RequestError("invalid_value", f"{name}: {key} is above {limits.repeats}.", param=name)
    properties = item.get("properties")
    if isinstance(properties, dict) and len(properties) > limits.properties:
        raise RequestError("invalid_value", f"{name}: an object has over {limits.properties} properties.", param=name)


def _patterns(item: Object) -> list[str]:
    properties = item.get("patternProperties")
    patterns = [item.get("pattern"), item.get("regex"), *(properties if isinstance(properties, dict) else ())]
    return [pattern for pattern in patterns if isinstance(pattern, str)]


class _References:
    """What each reference of a field names; where it holds several schemas, an engine may take it from any of them."""

    def __init__(self, value: Any, limits: Limits) -> None:
        parts = islice(value if isinstance(value, list) else [value], limits.tools)
        found = [_at(part, place) for part in parts for place in _PLACES]
        self._roots = [root for root in found if isinstance(root, dict)]
        self._known: dict[str, list[Object]] = {}

    def of(self, item: Object) -> list[Object]:
        """Return the objects that an object's reference names."""
        reference = item.get("$ref")
        if not isinstance(reference, str):
            return []
        if reference not in self._known:
            found = [_at(root, reference.split("/")[1:]) for root in self._roots]
            self._known[reference] = [target for target in found if isinstance(target, dict)]
        return self._known[reference]


def _at(value: Any, path: list[str] | tuple[str, ...]) -> Any:
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 6 and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _judge_references(objects: list[Object], references: _References, name: str, limits: Limits) -> None:
    """Refuse circles that are no recursion, and what becomes too large when it is merged.

    llama.cpp does not look for the first, and ends itself; of the second it writes until the memory ends.
    """
    alike = {id(item): [id(part) for part in (*_alike(item), *references.of(item))] for item in objects}
    merged: dict[Place, list[Place]] = {
        (id(item), merge): [(id(part), into) for part, into in _read_next(item, references, merge=merge)]
        for item in objects
        for merge in (False, True)
    }
    sizes: dict[Place, int] = {}
    try:
        TopologicalSorter(alike).prepare()
        for place in TopologicalSorter(merged).static_order():
            sizes[place] = 1 + sum(sizes[part] for part in merged[place])
    except CycleError:
        raise RequestError("invalid_value", f"{name}: a reference leads back to itself.", param=name) from None
    if any(size > limits.merged for (_, merge), size in sizes.items() if merge):
        raise RequestError("invalid_value", f"{name}: allOf takes in too much.", param=name)


def _alike(item: Object) -> Iterator[Object]:
    """Yield the parts that are judged by the same value as the whole: who comes back to it thus never ends."""
    for key in (_MERGED, *_CHOICES):
        parts = item.get(key)
        yield from (part for part in (parts if isinstance(parts, list) else ()) if isinstance(part, dict))


def _read_next(item: Object, references: _References, *, merge: bool) -> Iterator[tuple[Object, bool]]:
    """Yield what is read where this object is, and whether to be merged. A reference elsewhere is a rule, read once."""
    if merge:
        yield from ((target, True) for target in references.of(item))
    for key, value in item.items():
        into = key == _MERGED or (merge and key in _CHOICES)
        level = [value]
        while level:
            yield from ((part, into) for part in level if isinstance(part, dict))
            level = [inner for part in level if isinstance(part, list) for inner in part]
