"""What ``--help`` prints: what a stage judges and the fields of its request, from the JSON Schema that ships with it.

The schema has names, types and defaults; what a field means beyond that is in ``docs/conformance``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

COMMAND = "python -m client_sdk.conformance"
DESCRIPTION = "Judge one JSON request from standard input and print the verdict as JSON."
SCHEMAS = Path(__file__).parent / "schemas"
_STATUS = """
exit status: 0 accepted, 10 refused, 30 malformed input, 2 usage, 1 internal error
"""
_INSTANT = "2026-01-31T12:00:00Z"
_EXAMPLES = {"string": "…", "integer": 0, "boolean": True, "array": ["…"], "object": {}}
Schema = dict[str, Any]


def of_stages(stages: Iterable[str]) -> str:
    """Return what each stage judges, and the exit statuses."""
    lines = [f"  {stage:<12}{_schema(stage)['description']}\n" for stage in stages]
    return "\nstages:\n" + "".join(lines) + _STATUS


def of_stage(stage: str) -> str:
    """Return what a stage judges, the fields of its request, the exit statuses and an example."""
    schema = _schema(stage)
    parts = [f"usage: {COMMAND} {stage} < request.json\n\nJudges {schema['description']}.\n"]
    alternatives = [schema] if "properties" in schema else schema["oneOf"]
    for number, one in enumerate(alternatives):
        parts.append(f"\n{'or with these' if number else 'fields of the request'} (* is required):\n")
        parts += [f"  {name:<42} {about}\n" for name, about in _fields(one, schema, "")]
    parts.append(f"What each means is in docs/conformance/{stage}.md.\n")
    example = json.dumps(_example(alternatives[0], schema), ensure_ascii=False)
    whole = f"a whole one, in a source tree: python -m tests.vectors.request {stage} | {COMMAND} {stage}"
    return "".join(parts) + _STATUS + f"\n{whole}\n\nexample of a request:\n  {example}\n"


def _schema(stage: str) -> Schema:
    found: Schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_bytes())
    return found


def _resolved(field: Schema, schema: Schema) -> Schema:
    """Return what a field's ``$ref`` stands for, with what is said beside it, or the field itself."""
    if "$ref" not in field:
        return field
    found: Schema = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return found | {name: value for name, value in field.items() if name != "$ref"}


def _fields(part: Schema, schema: Schema, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield each field, and those inside it, with what may stand there."""
    for name, given in part["properties"].items():
        field = _resolved(given, schema)
        star = " *" if name in part.get("required", ()) else ""
        yield f"{prefix}{name}{star}", _about(field, schema)
        inside = _resolved(field.get("items", {}), schema) if field.get("type") == "array" else field
        if "properties" in inside:
            yield from _fields(inside, schema, f"{prefix}{name}{'[]' if inside is not field else ''}.")


def _about(field: Schema, schema: Schema) -> str:
    said = [_kind(field, schema)]
    if "default" in field:
        said.append(f"default {json.dumps(field['default'])}")
    return "; ".join([*said, *([field["description"]] if "description" in field else [])])


def _kind(field: Schema, schema: Schema) -> str:
    """Return in words what may stand in a field."""
    field = _resolved(field, schema)
    values = field.get("enum", [field["const"]] if "const" in field else [])
    kinds = [json.dumps(value) for value in values] or [_kind(one, schema) for one in field.get("anyOf", ())]
    if kinds:
        return " or ".join(dict.fromkeys(kinds))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}), schema)}"
    if field.get("type") != "string":
        return str(field.get("type", "anything"))
    return "base64" if "contentEncoding" in field else _text(field.get("pattern", ""))


def _text(pattern: str) -> str:
    if pattern.endswith("Z$"):
        return f"instant, like {_INSTANT}"
    return "lower-case hex" if "0-9a-f" in pattern else "string"


def _example(part: Schema, schema: Schema) -> Any:
    """Return a request that has what is required, in the first way of several, with an ellipsis for each text."""
    found: dict[str, Any] = {}
    one_way = part.get("oneOf", [{}])[0]
    for name in (*one_way.get("required", ()), *part.get("required", ())):
        field = _resolved(part["properties"][name], schema)
        if field.get("type") == "object" and "properties" in field:
            found[name] = _example(field, schema)
        elif field.get("pattern", "").endswith("Z$"):
            found[name] = _INSTANT
        else:
            found[name] = field.get("const", _EXAMPLES[field.get("type", "string")])
    return found
