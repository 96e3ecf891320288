"""docs/openapi.json and the gateway each define what a request is: they take the same, and refuse the same.

Requests with every field there is are changed at every place, by everything that JSON has. What neither says here is
how an engine takes the rest.
"""

from __future__ import annotations

import copy
import json
from dataclasses import fields as fields_of
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from serving.errors import RequestError
from serving.gateway.features import FEATURES
from serving.gateway.inputs import detokenize_request, embedding_request, tokenize_request
from serving.gateway.limits import Limits
from serving.gateway.requests import chat_request, completion_request
from serving.gateway.responses import response_request
from serving.gateway.rules import Rules
from serving.task import EMBED
from tests.openapi import ARGUMENTS, MODEL, REQUESTS, describe

VLLM = FEATURES["vllm"]
# An engine that can do all there is: what one cannot is refused for that, not for what the page says.
ALL = replace(VLLM, **{field.name: True for field in fields_of(VLLM) if isinstance(getattr(VLLM, field.name), bool)})
RULES = Rules({"m": ALL}, {"m": 131_072}, Limits())
EMBEDS = replace(RULES, models={"m": replace(ALL, task=EMBED)})
JUDGES = {
    "chat": chat_request,
    "completion": completion_request,
    "response": response_request,
    "embedding": lambda data, _, salt: embedding_request(data, EMBEDS, salt),
    "tokenize": lambda data, rules, _: tokenize_request(data, rules),
    "detokenize": lambda data, rules, _: detokenize_request(data, rules),
}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
SCHEMA = {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": True}
BOTH = {
    "frequency_penalty": 0,
    "presence_penalty": 0.5,
    "seed": 1,
    "temperature": 1,
    "top_p": 0.5,
    "max_tokens": 5,
    "n": 1,
    "stop": ["a"],
    "logit_bias": {"5": 1},
    "user": "u",
    "metadata": {},
    "store": False,
    "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False},
}
MESSAGES = [
    {"role": "system", "content": "x", "name": "n"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "t"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "refusal": "no",
        "audio": None,
        "annotations": [],
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "r"}]},
    {"role": "tool", "tool_call_id": "c", "content": "y"},
]
CHAT = {
    "messages": MESSAGES,
    **BOTH,
    "logprobs": True,
    "top_logprobs": 2,
    "max_completion_tokens": 5,
    "parallel_tool_calls": False,
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": SCHEMA},
}
ITEMS = [
    {
        "type": "message",
        "role": "user",
        "id": "i",
        "status": "completed",
        "content": [
            {"type": "input_text", "text": "t"},
            {"type": "output_text", "text": "t", "annotations": [], "logprobs": []},
            {"type": "input_image", "image_url": "data:x", "detail": "low"},
        ],
    },
    {"role": "developer", "content": "x"},
    {"type": "function_call", "id": "i", "status": "completed", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "o", "id": "i", "status": "completed"},
]
RESPONSE = {
    "input": ITEMS,
    "background": False,
    "instructions": "i",
    "max_output_tokens": 5,
    "parallel_tool_calls": True,
    "stream": True,
    "temperature": 1,
    "top_p": 0.5,
    "truncation": "disabled",
    "store": False,
    "user": "u",
    "text": {"format": {"type": "json_schema", **SCHEMA}},
    "tools": [{"type": "function", **FUNCTION}],
    "tool_choice": {"type": "function", "name": "f"},
}
PLAIN = {"tool_choice": "auto", "response_format": {"type": "text"}, "stop": "a"}
EXAMPLES = [
    ("chat", CHAT),
    ("chat", {"messages": MESSAGES[:1], **PLAIN, "structured_outputs": {"choice": ["a"]}}),
    ("chat", {"messages": MESSAGES[:1], "response_format": {"type": "json_object"}}),
    ("chat", {"messages": MESSAGES[:1], "structured_outputs": {"json": {"type": "object"}}}),
    ("chat", {"messages": MESSAGES[:1], "structured_outputs": {"regex": "a+"}}),
    ("completion", {"prompt": "p", **BOTH, "echo": True, "logprobs": 1, "structured_outputs": {"regex": "a"}}),
    *(("completion", {"prompt": prompt}) for prompt in (["a", "b"], [1, 2], [[1], [2]])),
    ("response", RESPONSE),
    ("response", {"input": "hi", "tool_choice": "required", "text": {"format": {"type": "text"}}, "tools": []}),
    ("response", {"input": "hi", "text": {"format": {"type": "json_object"}}}),
    ("embedding", {"input": "x", "dimensions": 5, "encoding_format": "float"}),
    *(("embedding", {"input": given}) for given in (["a"], [1], [[1]])),
    ("tokenize", {"prompt": "p", "add_special_tokens": True}),
    ("detokenize", {"tokens": [1, 2]}),
]
NUMBERS = [0, 1, -1, 1.5, 3, 101, 2**31, 131_073, 2**63, -(2**63) - 1]
# As a pattern, of one piece: how many it has, no schema says.
LONG = [f"[{'x' * length}]" for length in (300, 600)]
VALUES = [None, True, False, *NUMBERS, "", "x", *LONG, "http://x", [], ["x"], [1], [None], {}, {"x": 1}]
VALUES += [["x"] * 5, ["x"] * 257, [1] * 257, [[1]] * 257, [[]]]


def validator(kind, page):
    """What the page says, and what no schema says: which models there are, and that arguments are JSON."""

    def said(value):
        if value in (MODEL, ARGUMENTS):
            return {"enum": ["m"] if value == MODEL else ["{}"]}
        if isinstance(value, dict):
            return {key: said(item) for key, item in value.items()}
        return [said(item) for item in value] if isinstance(value, list) else value

    reference = {"$ref": f"#/components/schemas/{kind.capitalize()}Request"}
    return Draft202012Validator(reference | {"components": said(page["components"])})


def taken(kind, body):
    try:
        JUDGES[kind](json.dumps(body).encode(), RULES, "salt")
    except RequestError:
        return False
    return True


def places(value, at=()):
    """Every place in a value, with what lies there."""
    yield at, value
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*at, key))


def changed(body):
    """Yield the body itself, and every body that differs from it at one place; a name for each."""
    yield body, "as it is"
    for at, there in list(places(body)):
        if isinstance(there, dict):
            yield _put(body, (*at, "surplus"), 1), f"{at}: a field more"
        if at and at != ("model",):
            yield _put(body, at[:-1], _without(body, at)), f"{at}: none"
            yield from ((_put(body, at, value), f"{at}: {value!r:.40}") for value in VALUES)


def _put(body, at, value):
    if not at:
        return value
    made = copy.copy(body)
    made[at[0]] = _put(body.get(at[0]) if isinstance(body, dict) else body[at[0]], at[1:], value)
    return made


def _without(body, at):
    for key in at[:-1]:
        body = body[key]
    made = copy.copy(body)
    del made[at[-1]]
    return made


def judged(kind, fields, page):
    """Yield every change with what the gateway and the page say of it."""
    judge = validator(kind, page)
    for one, what in changed({"model": "m", **fields}):
        if "stream_options" in one and one.get("stream") is not True and one["stream_options"] is not None:
            continue  # refused, which no schema of one field says
        yield what, taken(kind, one), judge.is_valid(one)


@pytest.mark.parametrize(("kind", "fields"), EXAMPLES)
def test_page_and_gateway_take_the_same(kind, fields):
    found = list(judged(kind, fields, describe()))
    assert [(what, "taken" if ours else "refused") for what, ours, page in found if ours != page] == []
    assert {ours for _, ours, _ in found} == {True, False}


def test_the_examples_have_every_field_that_is_passed_on():
    for kind, (_, known, *_) in REQUESTS.items():
        given = {name for of, fields in EXAMPLES if of == kind for name in fields}
        assert known - given == {"model"}, kind


@pytest.mark.parametrize("kind", ["Chat", "Completion", "Response", "Embedding", "Tokenize", "Detokenize"])
def test_a_page_that_lacks_a_field_or_has_one_more_is_noticed(kind):
    fields = next(fields for of, fields in EXAMPLES if of == kind.lower())
    for name in ("surplus", *fields):
        page = describe()
        properties = page["components"]["schemas"][f"{kind}Request"]["properties"]
        if properties.pop(name, None) is None:
            properties[name] = {}
        assert any(ours != said for _, ours, said in judged(kind.lower(), fields, page)), name
