"""Judging requests for what is no conversation: embeddings, and texts as token numbers and back."""

from __future__ import annotations

from typing import Any

from serving.errors import EngineError, RequestError
from serving.gateway.fields import DETOKENIZE, EMBEDDING, EMBEDDING_PLAIN, TOKENIZE, TOKENIZE_PLAIN
from serving.gateway.requests import judge_texts
from serving.gateway.rules import EngineRequest, Rules, encode, judge

_MAX_TOKENS = 100_000


def embedding_request(data: bytes, rules: Rules, salt: str) -> EngineRequest:
    """Judge a request for ``/v1/embeddings``; an engine whose model has none refuses it.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = judge(data, EMBEDDING, EMBEDDING_PLAIN, rules)
    judge_texts(fields.get("input"), "input", rules.limits)
    if rules.of(fields).salted:
        fields["cache_salt"] = salt
    return EngineRequest(fields["model"], "/v1/embeddings", encode(fields), stream=False, generates=False)


def tokenize_request(data: bytes, rules: Rules) -> EngineRequest:
    """Judge a request for ``/v1/tokenize``: ``prompt`` as the engine would read it in a completion.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = judge(data, TOKENIZE, TOKENIZE_PLAIN, rules)
    if "prompt" not in fields:
        raise RequestError("missing_required_parameter", "You must provide a prompt.", param="prompt")
    special, model = fields.get("add_special_tokens", True), fields["model"]
    asked: dict[str, Any] = {"prompt": fields["prompt"], "add_special_tokens": special, "model": model}
    if rules.of(fields).name == "llamacpp":
        asked = {"content": fields["prompt"], "add_special": special, "parse_special": True}
    return EngineRequest(model, "/tokenize", encode(asked), stream=False, generates=False, answer=_counted)


def detokenize_request(data: bytes, rules: Rules) -> EngineRequest:
    """Judge a request for ``/v1/detokenize``.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = judge(data, DETOKENIZE, {}, rules)
    tokens = fields.get("tokens")
    if not isinstance(tokens, list) or len(tokens) > _MAX_TOKENS:
        raise RequestError("invalid_type", "tokens must be a list of token numbers.", param="tokens")
    if not all(isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**31 for token in tokens):
        raise RequestError("invalid_type", "tokens must be a list of token numbers.", param="tokens")
    asked = encode({"tokens": tokens, "model": fields["model"]})
    return EngineRequest(fields["model"], "/detokenize", asked, stream=False, generates=False, answer=_text)


def _counted(answer: dict[str, Any]) -> dict[str, Any]:
    tokens = answer.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise EngineError("the engine's tokens are none")
    return {"object": "list", "count": len(tokens), "tokens": tokens}


def _text(answer: dict[str, Any]) -> dict[str, Any]:
    text = answer.get("prompt", answer.get("content"))  # vLLM's name, and llama.cpp's
    if not isinstance(text, str):
        raise EngineError("the engine's text is none")
    return {"object": "text", "prompt": text}
