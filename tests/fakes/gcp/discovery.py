"""Google's own description of Compute Engine: which calls there are, and which bodies they take and give.

The document ships with google-api-python-client. It says nothing about what values mean: rules.py does.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import googleapiclient

from tests.fakes.cloud_api import RefusedError
from tests.fakes.gcp.refusal import invalid

_DOCUMENT = Path(googleapiclient.__file__).parent / "discovery_cache/documents/compute.v1.json"
PREFIX = "/compute/v1/"
_SDK_QUERY = {"$alt"}  # the SDK asks for enums as numbers or words


@dataclass(frozen=True)
class Method:
    """One call: ``compute.images.insert``."""

    id: str
    verb: str
    expression: re.Pattern
    request: str | None
    response: str | None
    query: frozenset


@functools.cache
def document():
    return json.loads(_DOCUMENT.read_bytes())


@functools.cache
def methods():
    common = frozenset(document()["parameters"]) | _SDK_QUERY
    return tuple(
        Method(
            id=method["id"],
            verb=method["httpMethod"],
            expression=re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", method["flatPath"])),
            request=method.get("request", {}).get("$ref"),
            response=method.get("response", {}).get("$ref"),
            query=common | {name for name, told in method["parameters"].items() if told["location"] == "query"},
        )
        for resource in document()["resources"].values()
        for method in resource["methods"].values()
    )


def find(verb, path, query):
    """Return the method that a request means, and the parameters in its path."""
    found = [(method, match) for method in methods() if (match := method.expression.fullmatch(path))]
    for method, match in found:
        if method.verb == verb:
            if unknown := set(query) - method.query:
                raise invalid(
                    f"Invalid JSON payload received. Unknown name {sorted(unknown)}: Cannot bind query parameter."
                )
            return method, match.groupdict()
    raise RefusedError(405 if found else 404, "notFound", f"The requested URL {path} was not found for {verb}.")


def check(schema, value, *, asked, where=""):
    """Refuse a body that the document does not allow; ``asked`` is false for what the fake itself answers."""
    _check({"$ref": schema}, value, asked, where or schema)


def _check(told, value, asked, where):
    if "$ref" in told:
        told = document()["schemas"][told["$ref"]]
    if asked and (told.get("readOnly") or re.match(r"\[?Output only", told.get("description", ""), re.IGNORECASE)):
        raise invalid(f"Invalid value for field '{where}': it is output only.")
    _KINDS[told["type"]](told, value, asked, where)


def _object(told, value, asked, where):
    if not isinstance(value, dict):
        raise invalid(f"Invalid value at '{where}': expected an object, got {json.dumps(value)}")
    for name, item in value.items():
        inner = told.get("properties", {}).get(name) or told.get("additionalProperties")
        if inner is None:
            raise invalid(f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field.")
        _check(inner, item, asked, f"{where}.{name}")


def _array(told, value, asked, where):
    if not isinstance(value, list):
        raise invalid(f"Invalid value at '{where}': expected a list, got {json.dumps(value)}")
    for number, item in enumerate(value):
        _check(told["items"], item, asked, f"{where}[{number}]")


def _string(told, value, asked, where):
    if not isinstance(value, str):
        raise invalid(f"Invalid value at '{where}' (TYPE_STRING), {json.dumps(value)}")
    if "enum" in told and value not in told["enum"]:
        raise invalid(f"Invalid value for field '{where}': '{value}'. No such enum constant.")
    if "pattern" in told and not re.fullmatch(told["pattern"], value):
        raise invalid(f"Invalid value for field '{where}': '{value}'. Must be a match of regex '{told['pattern']}'")
    if told.get("format") in ("int64", "uint64") and not re.fullmatch(r"-?\d+", value):
        raise invalid(f"Invalid value at '{where}' (TYPE_INT64), \"{value}\"")
    if told.get("format") == "byte":
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error:
            raise invalid(f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed") from None


def _boolean(_told, value, _asked, where):
    if not isinstance(value, bool):
        raise invalid(f"Invalid value at '{where}' (TYPE_BOOL), {json.dumps(value)}")


def _number(_told, value, _asked, where):
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"Invalid value at '{where}' (TYPE_DOUBLE), {json.dumps(value)}")


def _integer(told, value, asked, where):
    if not isinstance(value, int):
        raise invalid(f"Invalid value at '{where}' (TYPE_INT32), {json.dumps(value)}")
    _number(told, value, asked, where)


_KINDS = {
    "object": _object, "array": _array, "string": _string, "boolean": _boolean, "number": _number, "integer": _integer,
    "any": lambda *_: None,
}  # fmt: skip
