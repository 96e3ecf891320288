"""Which fields of a request reach the engine, and what a plain value may be.

OpenAI refuses an argument that it does not know, and so does this gateway: an engine has many private ones (caches,
slots, grammars, adapters, templates, logging), and what is not named here is never forwarded. Plain values are written
as JSON Schema, which docs/openapi.json repeats; the others are judged by a function of their own.
"""

from __future__ import annotations

from typing import Any

Kind = dict[str, Any]
"""A schema of a plain value: ``type``, ``minimum``, ``maximum``, ``enum``."""

_FLAG: Kind = {"type": "boolean"}
_COUNT: Kind = {"type": "integer", "minimum": 1}
_PENALTY: Kind = {"type": "number", "minimum": -2, "maximum": 2}
_SAMPLING: dict[str, Kind] = {
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "seed": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
}
_BOTH: dict[str, Kind] = {**_SAMPLING, "max_tokens": _COUNT, "n": _COUNT, "stream": _FLAG}
_TEXT: Kind = {"type": "string"}
_OF_BOTH = frozenset({"logit_bias", "model", "stop", "stream_options", "structured_outputs"})

CHAT_PLAIN: dict[str, Kind] = {
    **_BOTH,
    "logprobs": _FLAG,
    "max_completion_tokens": _COUNT,
    "parallel_tool_calls": _FLAG,
    "top_logprobs": {"type": "integer", "minimum": 0},
}
CHAT = frozenset(CHAT_PLAIN) | _OF_BOTH | {"messages", "response_format", "tool_choice", "tools"}
COMPLETION_PLAIN: dict[str, Kind] = {**_BOTH, "echo": _FLAG, "logprobs": {"type": "integer", "minimum": 0}}
COMPLETION = frozenset(COMPLETION_PLAIN) | _OF_BOTH | {"prompt"}
EMBEDDING_PLAIN: dict[str, Kind] = {
    "dimensions": _COUNT,
    "encoding_format": {"type": "string", "enum": ["float", "base64"]},
}
EMBEDDING = frozenset(EMBEDDING_PLAIN) | {"input", "model"}
RESPONSE_PLAIN: dict[str, Kind] = {
    "background": _FLAG,
    "instructions": _TEXT,
    "max_output_tokens": _COUNT,
    "parallel_tool_calls": _FLAG,
    "stream": _FLAG,
    "temperature": _SAMPLING["temperature"],
    "top_p": _SAMPLING["top_p"],
    "truncation": {"type": "string", "enum": ["disabled"]},
}
RESPONSE = frozenset(RESPONSE_PLAIN) | {"input", "model", "text", "tool_choice", "tools"}
TOKENIZE_PLAIN: dict[str, Kind] = {"add_special_tokens": _FLAG, "prompt": _TEXT}
TOKENIZE = frozenset(TOKENIZE_PLAIN) | {"model"}
DETOKENIZE = frozenset({"model", "tokens"})

IGNORED = frozenset({"metadata", "prompt_cache_key", "safety_identifier", "service_tier", "user"})
"""Accepted and dropped: they tell OpenAI who asks, or how to bill and cache. Nobody here wants to know."""

SCHEMAS = ("response_format", "structured_outputs", "text", "tools")
"""Compiled by the engine into a grammar: bounded in size and depth, and no reference may lead out of the request."""

ROLES = frozenset({"assistant", "developer", "system", "tool", "user"})
MESSAGE = frozenset({"content", "name", "refusal", "role", "tool_call_id", "tool_calls"})
MESSAGE_IGNORED = frozenset({"annotations", "audio"})
"""What OpenAI's client adds to an answer of the assistant that is sent back."""

PARTS = {
    "image_url": frozenset({"image_url", "type"}),
    "input_audio": frozenset({"input_audio", "type"}),
    "refusal": frozenset({"refusal", "type"}),
    "text": frozenset({"text", "type"}),
}
MEDIA = frozenset({"image_url", "input_audio"})

FORMATS = {
    "json_object": frozenset({"type"}),
    "json_schema": frozenset({"json_schema", "type"}),
    "text": frozenset({"type"}),
}
"""``response_format``, by its type."""

STREAM_OPTIONS = frozenset({"include_obfuscation", "include_usage"})
"""OpenAI's; obfuscation pads events against observers, which the gateway does for all of a stream or not at all."""

STRUCTURED = frozenset({"choice", "json", "regex"})
"""Of vLLM's ``structured_outputs``; a free grammar or structural tag is compiled at a cost that nobody can bound."""
