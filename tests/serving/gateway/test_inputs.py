"""Embeddings and token numbers: what reaches the engine, and what comes back."""

from __future__ import annotations

import json

import pytest

from serving.errors import EngineError, RequestError
from serving.gateway.features import FEATURES
from serving.gateway.inputs import detokenize_request, embedding_request, tokenize_request
from serving.gateway.limits import Limits
from serving.gateway.rules import Rules

RULES = {name: Rules({"m": FEATURES[name]}, Limits()) for name in FEATURES}


def made(call, kind="vllm", **fields):
    salt = ("salt",) if call is embedding_request else ()
    return call(json.dumps({"model": "m", **fields}).encode(), RULES[kind], *salt)


@pytest.mark.parametrize("given", ["x", ["x", "y"], [1, 2], [[1], [2, 3]]])
def test_texts_and_tokens_are_embedded(given):
    request = made(embedding_request, input=given, encoding_format="base64", dimensions=8, user="u")
    assert request.path == "/v1/embeddings"
    assert json.loads(request.body) == {
        "model": "m",
        "input": given,
        "encoding_format": "base64",
        "dimensions": 8,
        "cache_salt": "salt",
    }
    assert "cache_salt" not in json.loads(made(embedding_request, "llamacpp", input=given).body)


def test_tokenizing_is_asked_for_in_each_engines_own_words():
    assert json.loads(made(tokenize_request, prompt="x").body) == {
        "model": "m",
        "prompt": "x",
        "add_special_tokens": True,
    }
    asked = json.loads(made(tokenize_request, "llamacpp", prompt="x", add_special_tokens=False).body)
    assert asked == {"content": "x", "add_special": False, "parse_special": True}


def test_their_answers_are_one():
    assert made(tokenize_request, prompt="x").answer({"tokens": [1, 2], "max_model_len": 5}) == {
        "object": "list",
        "count": 2,
        "tokens": [1, 2],
    }
    assert made(detokenize_request, tokens=[1]).answer({"prompt": "a"}) == {"object": "text", "prompt": "a"}
    assert made(detokenize_request, tokens=[1]).answer({"content": "a"}) == {"object": "text", "prompt": "a"}


@pytest.mark.parametrize("answer", [{}, {"tokens": 5}, {"tokens": ["x"]}, {"tokens": [{"id": 1, "piece": "x"}]}])
def test_an_engines_nonsense_is_not_passed_on(answer):
    with pytest.raises(EngineError):
        made(tokenize_request, prompt="x").answer(answer)
    with pytest.raises(EngineError):
        made(detokenize_request, tokens=[1]).answer(answer)


@pytest.mark.parametrize(
    ("call", "fields", "code"),
    [
        (embedding_request, {}, "invalid_type"),
        (embedding_request, {"input": []}, "invalid_type"),
        (embedding_request, {"input": {"url": "https://elsewhere.invalid"}}, "invalid_type"),
        (embedding_request, {"input": ["x"] * 300}, "array_above_max_length"),
        (embedding_request, {"input": "x", "encoding_format": "int8"}, "invalid_value"),
        (embedding_request, {"input": "x", "dimensions": 0}, "integer_below_min_value"),
        (embedding_request, {"input": "x", "cache_salt": "mine"}, "unknown_parameter"),
        (embedding_request, {"input": "x", "mm_processor_kwargs": {}}, "unknown_parameter"),
        (embedding_request, {"input": "x", "model": "other"}, "model_not_found"),
        (tokenize_request, {}, "missing_required_parameter"),
        (tokenize_request, {"prompt": ["x"]}, "invalid_type"),
        (tokenize_request, {"prompt": "x", "chat_template": "{{ 7 * 7 }}"}, "unknown_parameter"),
        (tokenize_request, {"messages": []}, "unknown_parameter"),
        (detokenize_request, {}, "invalid_type"),
        (detokenize_request, {"tokens": "x"}, "invalid_type"),
        (detokenize_request, {"tokens": [-1]}, "invalid_type"),
        (detokenize_request, {"tokens": [2**31]}, "invalid_type"),
        (detokenize_request, {"tokens": [True]}, "invalid_type"),
    ],
)
def test_what_is_refused(call, fields, code):
    with pytest.raises(RequestError) as caught:
        made(call, **fields)
    assert caught.value.code == code
