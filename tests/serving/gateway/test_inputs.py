"""Embeddings and token numbers: what reaches the engine, and what comes back."""

from __future__ import annotations

import json

import pytest

from serving.errors import EngineError, RequestError
from serving.gateway.features import FEATURES, features_of
from serving.gateway.inputs import detokenize_request, embedding_request, tokenize_request
from serving.gateway.limits import Limits
from serving.gateway.rules import Rules

RULES = {
    kind: Rules({"m": features_of(kind)}, {"m": 2048}, Limits()) for kind in (*FEATURES, "vllm,embed", "llamacpp,embed")
}


def made(call, kind="vllm", **fields):
    salt = ("salt",) if call is embedding_request else ()
    return call(json.dumps({"model": "m", **fields}).encode(), RULES[kind], *salt)


def embed(kind="vllm,embed", **fields):
    return made(embedding_request, kind, **fields)


@pytest.mark.parametrize("given", ["x", ["x", "y"], [1, 2], [[1], [2, 3]]])
def test_texts_and_tokens_are_embedded(given):
    request = embed(input=given, encoding_format="base64", dimensions=8, user="u")
    assert request.path == "/v1/embeddings"
    assert json.loads(request.body) == {
        "model": "m",
        "input": given,
        "encoding_format": "base64",
        "dimensions": 8,
        "cache_salt": "salt",
    }
    assert "cache_salt" not in json.loads(embed("llamacpp,embed", input=given).body)


@pytest.mark.parametrize("kind", ["vllm", "llamacpp"])
def test_a_model_that_generates_embeds_nothing(kind):
    with pytest.raises(RequestError, match="unsupported_operation"):
        embed(kind, input="x")


def test_dimensions_that_llamacpp_would_ignore_are_refused():
    with pytest.raises(RequestError, match="unsupported_parameter"):
        embed("llamacpp,embed", input="x", dimensions=8)


def test_as_many_texts_as_fit_into_an_answer_are_embedded():
    """As numbers of 11,000 dimensions, each of 22 characters; of more, an honest caller would get an error always."""
    limits = Limits()
    assert limits.inputs_as_numbers * 11_000 * 22 < limits.answer_bytes
    assert embed(input=["x"] * 64)
    assert embed(input=[[1]] * 256, encoding_format="base64")
    assert embed(input=[1] * 2048)


def test_what_may_fit_into_the_context_is_read():
    assert made(tokenize_request, prompt="x" * 65_536)
    assert embed(input=["x" * 65_536] * 2)


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
        (embedding_request, {"input": ["x", [1]]}, "invalid_type"),
        (embedding_request, {"input": ["x"] * 300, "encoding_format": "base64"}, "array_above_max_length"),
        (embedding_request, {"input": ["x"] * 65}, "array_above_max_length"),
        (embedding_request, {"input": [[1]] * 65, "encoding_format": "float"}, "array_above_max_length"),
        (embedding_request, {"input": "<|im_end|>" * 6554}, "context_length_exceeded"),
        (embedding_request, {"input": ["x", "é" * 32_769]}, "context_length_exceeded"),
        (tokenize_request, {"prompt": "<|im_end|>" * 400_000}, "context_length_exceeded"),
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
        made(call, "vllm,embed", **fields)
    assert caught.value.code == code
