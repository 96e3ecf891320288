"""Patterns as an engine gets them that takes them for patterns of the JSON."""

from __future__ import annotations

import json
import re

import pytest

from serving.errors import RequestError
from serving.gateway.features import FEATURES
from serving.gateway.json_patterns import write_pattern, write_schema
from serving.gateway.limits import Limits
from serving.gateway.requests import chat_request
from serving.gateway.responses import response_request
from serving.gateway.rules import Rules

TEXTS = [
    "",
    "a",
    "é",
    "日本",
    '"',
    "\\",
    '"a"',
    "a\\b",
    "a\nb",
    "\t",
    " ",
    "a.b",
    "a..",
    "7",
    "07",
    "/",
    "-",
    "😀",
    "_",
    "}",
]
TEXTS += ["a\u2028", "]", "^", "x\x7f", "\xa0"]
READ = [
    *("^.*$", "^.?a.?$", "^.{1,2}$", "^[^a]*$", '^[^"]+$', "^[^-a]+$", "^(a|.)+$", "^.+?$", "^(?:.a?)*$"),
    *(r"^[^\\]*$", r"^[ -~]*$", r"^[\s\S]*$", r"^\S+$", r"^\D\s?$", r"^\W+$", r"^[^\s\d]+$", r"^[\x00-\x7f]*$"),
    *(
        '^"$',
        '^"a"$',
        '^"*a"*$',
        r"^\\$",
        r"^a\\b$",
        r"^a\nb$",
        r"^[\n\t]$",
        r"^\u0022$",
        r"^\x5c+$",
        '^["\\\\]$',
        "^\t$",
    ),
    *(r"^a\.*$", r"^a\.b$", r"^\/$", r"^[\/\-]$", r"^\d{2}$", r"^[\d\-x]$", r"^[\w.\-]+$", "^é*$", "^日本+$"),
    *("^[a-]+$", r"^\]$", r"^[\]\^]$", "^[^^]+$", r"^\}$", "^[^😀]+$", "^[\U0001f600-\U0001f64f]$", r"^[^\S]*$"),
]


def as_it_is_meant(pattern):
    """Python's reading, with ECMAScript's point and word."""
    meant = pattern[1:-1] if "[" in pattern or "\\." in pattern else pattern[1:-1].replace(".", r"[^\n\r\u2028\u2029]")
    return re.compile(meant, re.ASCII if "\\w" in pattern.lower() else 0)


@pytest.mark.parametrize("pattern", READ)
def test_what_is_written_fits_the_json_of_what_the_pattern_fits(pattern):
    written = write_pattern(pattern)
    fitting = as_it_is_meant(pattern)
    for text in TEXTS:
        inner = json.dumps(text, ensure_ascii=False)[1:-1]
        assert bool(re.fullmatch(written[1:-1], inner)) is bool(fitting.fullmatch(text)), (text, written)


MARKED = [chr(number) for number in range(32)] + ['"']


@pytest.mark.parametrize("pattern", READ)
def test_nothing_that_is_written_ends_the_string(pattern):
    """Whatever character of the string a part of it may be, alone: no quote, no control character, no backslash."""
    for text in (*MARKED, "\\", 'a"', '"a', 'a"b', "a\\", '\\\\"', "\\.", "\\d", "\\ "):
        assert not re.fullmatch(write_pattern(pattern)[1:-1], text), text


@pytest.mark.parametrize(
    "pattern",
    [
        *("^J[a-z]*n$", "^[A-Z][a-z]{1,8}$", "^Ja?a?pan$", "^(a|b)+$", "^(?:ab){2}$", "^é日本$", "^[é-ü]+$", "^$"),
        *(".", "a.", "^.", ".$", "", "^", "$"),
        *(
            "^(?=a).$",
            "^(?<n>.)$",
            r"^\b.$",
            r"^(.)\1$",
            r"^\p{L}.$",
            r"^\cA.$",
            "^.$.$",
            "^a^.$",
            r"^.[\b]$",
            r"^\u{41}.$",
        ),
        *("^.{$", "^.}$", "^.]$", "^.[a$", "^.\\$"),
    ],
)
def test_what_needs_nothing_or_is_not_read_stays_as_it_is(pattern):
    """An engine that cannot follow a pattern ignores all of it, or says that it is none."""
    assert write_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["^\x01$", r"^a\x1fb$", r"^\0$", r"^[\x01-\x07]$", r"^\v?$", r"^\u0000*$"])
def test_a_control_character_that_cannot_be_written_is_the_callers_error(pattern):
    with pytest.raises(RequestError) as caught:
        write_schema({"properties": {"a": {"pattern": pattern}}}, "response_format")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "response_format")
    assert pattern not in caught.value.message


DOT = {"type": "string", "pattern": "^.$"}
WRITTEN = {"type": "string", "pattern": write_pattern("^.$")}


def around(schema):
    """A schema in every place that holds one."""
    named = dict.fromkeys(("enum", "pattern", "const", "examples", "x"), schema)
    holders = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
    return {
        **dict.fromkeys(holders, named),
        **dict.fromkeys(("items", "not", "additionalProperties", "elsewhere"), schema),
        "anyOf": [schema, True, {"items": [schema]}],
    }


def test_patterns_of_every_schema_are_written():
    assert write_schema(around(DOT), "tools") == around(WRITTEN) != around(DOT)


@pytest.mark.parametrize("key", ["const", "default", "enum", "examples"])
def test_what_is_data_is_no_pattern(key):
    schema = {key: [DOT, {"pattern": "^\x01$"}], "properties": {"pattern": {"type": "string"}}, "pattern": ["^.$"]}
    assert write_schema(schema, "tools") == schema


def test_a_pattern_that_was_given_stays_the_callers():
    given = {"items": dict(DOT)}
    write_schema(given, "tools")
    assert given == {"items": DOT}


def forwarded(engine, schema):
    """What an engine gets of a schema of a chat's format, of its tool, of a response's format and of its tool."""
    rules = Rules({"m": FEATURES[engine]}, {"m": 2048}, Limits())
    tool = {"name": "f", "parameters": schema}
    only = {} if FEATURES[engine].tools else {"tool_choice": "none"}
    named = {"name": "a", "schema": schema}
    chat = {
        "model": "m",
        "messages": [{"role": "user", "content": "^.$"}],
        "tools": [{"type": "function", "function": tool}],
    }
    chat |= {"response_format": {"type": "json_schema", "json_schema": named}, **only}
    response = {"model": "m", "input": "^.$", "text": {"format": {"type": "json_schema", **named}}, **only}
    response["tools"] = [{"type": "function", **tool}]
    bodies = [
        (chat, json.loads(chat_request(json.dumps(chat).encode(), rules, "salt").body)),
        (response, json.loads(response_request(json.dumps(response).encode(), rules, "salt").body)),
    ]
    for _, body in bodies:
        assert body["messages"] == chat["messages"]
        yield body["response_format"]["json_schema"].pop("schema")
        yield body["tools"][0]["function"].pop("parameters")
        assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "a"}}
        assert body["tools"] == [{"type": "function", "function": {"name": "f"}}]


def test_an_engine_that_needs_it_gets_it_written_wherever_a_schema_is():
    assert [*forwarded("llamacpp", {"items": DOT})] == [{"items": WRITTEN}] * 4


def test_an_engine_that_reads_patterns_rightly_gets_them_as_they_came():
    assert [*forwarded("vllm", {"items": DOT})] == [{"items": DOT}] * 4


@pytest.mark.parametrize(
    "given", [{}, {"response_format": {"type": "text"}}, {"response_format": {"type": "json_object"}}]
)
def test_a_chat_without_a_schema_is_forwarded_as_ever(given):
    rules = Rules({"m": FEATURES["llamacpp"]}, {"m": 2048}, Limits())
    chat = {
        "model": "m",
        "messages": [{"role": "user", "content": "^.$"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    body = json.loads(chat_request(json.dumps(chat | given).encode(), rules, "salt").body)
    assert body == {**chat, **given, "stream": False}
