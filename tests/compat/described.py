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
    # How many pieces a pattern has is not how long it is.
    (PATTERN, {"enum": ["[a-z]{4}", "(yes|no)+"]}),
)
# More are for one encoding alone.
FEW = {"maxItems": Limits().inputs_as_numbers}


def by_example(value=None):
    """Return docs/openapi.json with the model's name and calls' arguments as examples, and no stream's options."""
    value = json.loads(PAGE.read_text()) if value is None else value
    for schema, example in EXAMPLES:
        if value == schema:
            return example
    if isinstance(value, dict):
        value = value | FEW if MANY.items() <= value.items() else value
        # They are refused without stream: true, which no schema of one field says.
        return {key: by_example(item) for key, item in value.items() if key != "stream_options"}
    return [by_example(item) for item in value] if isinstance(value, list) else value
