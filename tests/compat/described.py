"""The description as schemathesis can use it: what no schema can say is said by example."""

from __future__ import annotations

import json

from serving.gateway.limits import Limits
from tests.compat.features import MODEL
from tests.openapi import ARGUMENTS, MANY, PAGE, PATTERN
from tests.openapi import MODEL as MODEL_SCHEMA

EXAMPLES = (
    (MODEL_SCHEMA, {"const": MODEL}),
    (ARGUMENTS, {"enum": ["{}", '{"city": "Paris"}']}),
    # A pattern of plain letters has as many pieces as letters.
    (PATTERN, PATTERN | {"maxLength": Limits().pattern_pieces}),
)


def by_example(value=None):
    """Return docs/openapi.json with the model's name and calls' arguments as examples, and no stream's options."""
    value = json.loads(PAGE.read_text()) if value is None else value
    for schema, example in EXAMPLES:
        if value == schema:
            return example
    if isinstance(value, dict):
        if {"input", "encoding_format"} <= {*value.get("properties", ())}:
            return {"anyOf": [in_any(value), in_base64(value)]}
        # They are refused without stream: true, which no schema of one field says.
        return {key: by_example(item) for key, item in value.items() if key != "stream_options"}
    return [by_example(item) for item in value] if isinstance(value, list) else value


def in_any(request):
    """Return how texts are embedded in any encoding: fewer at once."""
    fewer = {"maxItems": Limits().inputs_as_numbers}
    ways = [way | fewer if MANY.items() <= way.items() else way for way in request["properties"]["input"]["anyOf"]]
    return request | {"properties": by_example(request["properties"]) | {"input": {"anyOf": ways}}}


def in_base64(request):
    """Return how as many as may be are embedded."""
    told = by_example(request["properties"]) | {"encoding_format": {"const": "base64"}}
    return request | {"properties": told, "required": [*request["required"], "encoding_format"]}
