"""What an engine is given to compile."""

from __future__ import annotations

import pytest

from serving.errors import RequestError
from serving.gateway.limits import Limits
from serving.gateway.patterns import judge_pattern
from serving.gateway.schemas import judge_schemas

LIMITS = Limits()


def nested(depth):
    return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "null"}


def judge(schema, name="response_format"):
    judge_schemas({name: {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}, LIMITS)


def at(name, schema):
    """The schema in each field that takes one."""
    return {
        "response_format": {"json_schema": {"schema": schema}},
        "text": {"format": {"schema": schema}},
        "structured_outputs": {"json": schema},
        "tools": [{"function": {"parameters": {}}}, {"function": {"parameters": schema}}],
    }[name]


def texts(count):
    return {f"p{number}": {"type": "string"} for number in range(count)}


def doubling(depth):
    """Each definition takes in the next twice: written out, there are two to the power of ``depth``."""
    both = [{"properties": {key: {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}]} for key in "xy"}} for i in range(depth)]
    return {"$defs": {f"a{i}": item for i, item in enumerate([*both, {}])}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("attack", "schema"),
    [
        ("too many bytes", {"enum": ["x" * 66_000]}),
        ("too deep", nested(40)),
        ("a reference to elsewhere", {"$ref": "https://elsewhere.invalid/s"}),
        ("a reference to a file", {"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
        ("a reference that two readers read differently", {"$ref": "#/$defs/a~1b"}),
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
        ("patterns that are each small", {"anyOf": [{"pattern": "a?" * 20} for _ in range(4)]}),
        ("a thousand optional properties", {"type": "object", "properties": texts(1000)}),
        ("the same properties again and again", {"allOf": [{"$ref": "#/$defs/a"}] * 15, "$defs": {"a": texts(100)}}),
        ("what doubles with each reference", doubling(25)),
    ],
)
def test_what_would_take_long_to_compile_or_leads_elsewhere_is_refused(attack, schema):
    if attack == "the same properties again and again":
        schema["$defs"]["a"] = {"properties": schema["$defs"]["a"]}
    with pytest.raises(RequestError) as caught:
        judge(schema)
    assert caught.value.param == "response_format"
    assert "elsewhere" not in caught.value.message


A = {"$ref": "#/$defs/a"}
CIRCLES = [
    ("itself", {"$defs": {"a": A}, "$ref": "#/$defs/a"}),
    ("itself in allOf", {"$defs": {"a": A}, "allOf": [A]}),
    ("one of another", {"$defs": {"a": {"anyOf": [A, {"type": "string"}]}}, "$ref": "#/$defs/a"}),
    ("anyOf in allOf", {"$defs": {"a": A}, "allOf": [{"anyOf": [A]}]}),
    ("allOf under a property", {"$defs": {"a": {"properties": {"x": {"allOf": [A]}}}}, "$ref": "#/$defs/a"}),
    ("two of them", {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [A]}}}),
    ("the root", {"allOf": [{"$ref": "#"}]}),
    ("items of a list", {"$defs": [{"$ref": "#/$defs/0"}], "allOf": [{"$ref": "#/$defs/0"}]}),
    (
        "a long way",
        {
            "allOf": [{"$ref": "#/$defs/a0"}],
            "$defs": {f"a{i}": {"$ref": f"#/$defs/a{(i + 1) % 800}"} for i in range(800)},
        },
    ),
]


@pytest.mark.parametrize("field", ["response_format", "text", "structured_outputs", "tools"])
@pytest.mark.parametrize(("way", "schema"), CIRCLES)
def test_a_reference_that_leads_back_to_itself_kills_no_engine(way, schema, field):
    with pytest.raises(RequestError, match="leads back to itself"):
        judge_schemas({field: at(field, schema)}, LIMITS)


def test_a_circle_through_the_schemas_of_two_tools_kills_no_engine():
    """An engine that keeps references by their text takes one from the tool that named it first."""
    first = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {}}, "allOf": [A]}
    second = {"$defs": {"a": {}, "b": A}, "allOf": [A]}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}} for schema in (first, second)]
    for tool in tools:
        judge_schemas({"tools": [tool]}, LIMITS)
    with pytest.raises(RequestError, match="leads back to itself"):
        judge_schemas({"tools": tools}, LIMITS)


def test_schemas_are_counted_together():
    with pytest.raises(RequestError) as caught:
        judge_schemas({"response_format": {"x": "x" * 40_000}, "tools": ["x" * 40_000]}, LIMITS)
    assert caught.value.code == "string_above_max_length"


TREE = {"type": "object", "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": A}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"pattern": {"type": "string"}, "maxLength": {"type": "integer"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": nested(20)}},
        {"type": "string", "maxLength": 10_000},
        {"type": "object", "properties": texts(100)},
        [{"$ref": "#"}, 5, None, "((((((((((((((((((", {"allOf": 5, "$ref": ["#"]}],
        {"$defs": {"a": TREE}, "$ref": "#/$defs/a"},
        {"$defs": {"a": TREE}, "allOf": [A]},
        {"$defs": {"a": TREE}, "properties": {"x": {"allOf": [A], "description": "as pydantic writes it"}}},
        {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {"$ref": "#/nowhere/9"},
        doubling(3),
    ],
)
def test_ordinary_schemas_pass(schema):
    judge(schema)


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a?){1999}$",
        "(.?){500}",
        "((.?){20}){20}",
        "((.?){99}){99}",
        "(a*)*",
        "(a*)+",
        "(a|b*){2}",
        "(|a){9}",
        "(a{0,3}){2,}",
        "(a{,3}){2,}",
        "(?:^){9}",
        "((a?)b?)*",
        "(?:a?|(b))+?",
        "(a+?){9}",
        "(a{3}?){9}",
        "a?" * 200,
        "(a?x){200}",
        "(a*b*)+",
    ],
)
def test_a_pattern_that_may_be_spread_in_too_many_ways_freezes_no_engine(pattern):
    with pytest.raises(RequestError, match="repeated too much"):
        judge({"type": "string", "pattern": pattern})


@pytest.mark.parametrize("pattern", ["[]", "a[]b]", "[^]", "[^](a{9999})]", "(", "a)", "[](((((((((("])
def test_a_pattern_with_two_readings_is_refused(pattern):
    """ECMAScript reads [] as a class without members, others as one that goes on; what is behind it differs too."""
    with pytest.raises(RequestError):
        judge({"type": "string", "pattern": pattern})


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}-\d{2}$",
        r"[(((((((((()\]({99999}]\(\(\(\(\(\(\(\(\(\{99999\}",
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$",
        r"^(https?)://[^/]+(/[^/]*)*$",
        "^.{1,255}$",
        "^(.+?)-(.*?)$",
        "^(a|bc){2,4}(?:d+e?)*$",
        "^(red|green|blue)?$",
        "^[^[]*$",
        "^-?(0|[1-9][0-9]*)([.][0-9]+)?$",
    ],
)
def test_ordinary_patterns_pass(pattern):
    judge({"type": "string", "pattern": pattern})


def test_groups_beside_each_other_are_not_deep():
    judge_pattern("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", "pattern", LIMITS)
