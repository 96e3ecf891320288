"""Which fields of a request reach the engine.

OpenAI refuses an argument that it does not know, and so does this gateway: an engine has many private ones (caches,
slots, grammars, adapters, templates, logging), and what is not named here is never forwarded.
"""

from __future__ import annotations

_BOTH = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "model",
        "n",
        "presence_penalty",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
    }
)
CHAT = _BOTH | {
    "max_completion_tokens",
    "messages",
    "parallel_tool_calls",
    "response_format",
    "tool_choice",
    "tools",
    "top_logprobs",
}
COMPLETION = _BOTH | {"echo", "prompt"}
"""Forwarded; the engine judges their values."""

IGNORED = frozenset({"metadata", "prompt_cache_key", "safety_identifier", "service_tier", "user"})
"""Accepted and dropped: they tell OpenAI who asks, or how to bill and cache. Nobody here wants to know."""

COUNTS = ("max_completion_tokens", "max_tokens", "n")
"""Positive whole numbers."""

STREAM_OPTIONS = frozenset({"include_obfuscation", "include_usage"})
"""OpenAI's; an engine has further ones. What the engine gets of them is always the same."""

SCHEMAS = ("response_format", "tools")
"""Compiled by the engine into a grammar: bounded in size, and no reference may lead out of the request."""

ROLES = frozenset({"assistant", "developer", "function", "system", "tool", "user"})
MESSAGE = frozenset({"content", "function_call", "name", "refusal", "role", "tool_call_id", "tool_calls"})
MESSAGE_IGNORED = frozenset({"annotations", "audio"})
"""What OpenAI's client adds to an answer of the assistant that is sent back."""

PARTS = {
    "image_url": frozenset({"image_url", "type"}),
    "input_audio": frozenset({"input_audio", "type"}),
    "refusal": frozenset({"refusal", "type"}),
    "text": frozenset({"text", "type"}),
}
