"""What an engine is given to compile."""

from __future__ import annotations

import pytest

from serving.errors import RequestError
from serving.gateway.limits import Limits
from serving.gateway.schemas import judge_pattern, judge_schema

LIMITS = Limits()


def nested(depth):
    return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "null"}


@pytest.mark.parametrize(
    ("attack", "schema"),
    [
        ("too many bytes", {"enum": ["x" * 66_000]}),
        ("too deep", nested(40)),
        ("a reference to elsewhere", {"$ref": "https://elsewhere.invalid/s"}),
        ("a reference to a file", {"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
        ("an array of a milliard", {"type": "array", "minItems": 10**9}),
        ("a string of a milliard", {"type": "string", "maxLength": 10**9}),
        ("the same in floating point", {"type": "string", "maxLength": 1e9}),
        ("a long pattern", {"pattern": "a" * 600}),
        ("a pattern's key", {"patternProperties": {"(((((((((a)))))))))": {}}}),
        ("a deep pattern", {"anyOf": [{"pattern": "(" * 9 + "a" + ")" * 9}]}),
        ("repetition of repetition", {"pattern": "((a{99}){99}){99}"}),
        ("repetition without an end", {"pattern": "a{99999,}"}),
        ("repetition up to", {"pattern": "a{,99999}"}),
        ("a regex beside a schema", {"regex": "(a{1000}){1000}"}),
    ],
)
def test_what_would_take_long_to_compile_or_leads_elsewhere_is_refused(attack, schema):
    with pytest.raises(RequestError) as caught:
        judge_schema(schema, "tools", LIMITS)
    assert caught.value.param == "tools"
    assert "elsewhere" not in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"pattern": {"type": "string"}, "maxLength": {"type": "integer"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": nested(20)}},
        {"pattern": r"^\d{4}-\d{2}-\d{2}$"},
        {"pattern": r"[(((((((((()\]({99999}]\(\(\(\(\(\(\(\(\(\(\{99999\}"},
        {"type": "string", "maxLength": 10_000},
        [{"$ref": "#"}, 5, None, "((((((((((((((((((("],
    ],
)
def test_ordinary_schemas_pass(schema):
    judge_schema(schema, "tools", LIMITS)


def test_groups_beside_each_other_are_not_deep():
    judge_pattern("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", "pattern", LIMITS)
