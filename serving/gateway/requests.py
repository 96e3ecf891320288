"""Judging a chat or completion request: what is forwarded, what is dropped, what is refused.

Nothing that passes makes the engine fetch, store or log anything.
"""

from __future__ import annotations

import re
from typing import Any

from serving.errors import RequestError
from serving.gateway.body import read_object
from serving.gateway.features import Features
from serving.gateway.fields import (
    CHAT,
    CHAT_PLAIN,
    COMPLETION,
    COMPLETION_PLAIN,
    FORMATS,
    MEDIA,
    MESSAGE,
    MESSAGE_IGNORED,
    PARTS,
    ROLES,
    STREAM_OPTIONS,
    STRUCTURED,
)
from serving.gateway.json_patterns import write_schema
from serving.gateway.limits import Limits
from serving.gateway.rules import EngineRequest, Rules, encode, judge, judge_plain, read_part, refuse_unknown
from serving.gateway.salt import identify_media
from serving.task import GENERATE

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_ARGUMENTS, _ARGUMENTS_DEPTH = 1024 * 1024, 64
_TOKEN = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}


def chat_request(data: bytes, rules: Rules, salt: str) -> EngineRequest:
    """Judge a request for ``/v1/chat/completions``.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = judge(data, CHAT, CHAT_PLAIN, rules)
    return forward_chat(fields, rules, salt)


def forward_chat(fields: dict[str, Any], rules: Rules, salt: str) -> EngineRequest:
    """Judge the fields of a chat that are no plain values.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    features, messages = rules.of(fields), fields.get("messages")
    features.require_task(GENERATE)
    if not isinstance(messages, list) or not messages:
        raise RequestError("invalid_type", "messages must be a list that is not empty.", param="messages")
    fields["messages"] = [_message(item, f"messages[{i}]", features) for i, item in enumerate(messages)]
    rules.require_short(fields, fields["messages"], "messages")
    media = _media(fields["messages"], rules.limits)
    if "tools" in fields:
        _tools(fields["tools"], rules.limits)
    if "tool_choice" in fields:
        _tool_choice(fields["tool_choice"], features)
    if "tools" in fields and fields.get("tool_choice") != "none":
        features.require("tools", "tools")
    if "response_format" in fields:
        _format(fields["response_format"])
    if features.json_patterns:
        _write_patterns(fields)
    if features.salted:
        identify_media(media, salt)
    return _forward("/v1/chat/completions", fields, rules, salt)


def completion_request(data: bytes, rules: Rules, salt: str) -> EngineRequest:
    """Judge a request for ``/v1/completions``.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = judge(data, COMPLETION, COMPLETION_PLAIN, rules)
    rules.of(fields).require_task(GENERATE)
    judge_texts(fields, "prompt", rules)
    if fields.get("echo"):
        rules.of(fields).require("echo", "echo")
    if "logprobs" in fields:
        rules.of(fields).require("completion_logprobs", "logprobs")
    return _forward("/v1/completions", fields, rules, salt)


def judge_texts(fields: dict[str, Any], name: str, rules: Rules) -> None:
    """Require what completions and embeddings take: a text, token numbers, or a list of the one or of the other.

    Raises:
        RequestError: anything else, too many, or one that is too long for the model.
    """
    value, limits = fields.get(name), rules.limits
    for text in value if isinstance(value, list) else [value]:
        rules.require_short(fields, text if isinstance(text, str) else None, name)
    if isinstance(value, str):
        return
    if not isinstance(value, list) or not value:
        raise RequestError("invalid_type", f"{name} must be a string or a list that is not empty.", param=name)
    if not isinstance(value[0], int) and len(value) > limits.inputs:
        raise RequestError("array_above_max_length", f"{name} has more than {limits.inputs} items.", param=name)
    if all(isinstance(item, str) for item in value):
        return
    for item in [value] if isinstance(value[0], int) else value:
        if not isinstance(item, list) or not item:
            raise RequestError("invalid_type", f"{name} must hold strings alone, or token numbers.", param=name)
        for token in item:
            judge_plain(token, _TOKEN, name)


def _message(value: Any, where: str, features: Features) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError("invalid_type", f"{where} must be an object.", param=where)
    fields = {key: item for key, item in value.items() if item is not None and key not in MESSAGE_IGNORED}
    refuse_unknown(fields, MESSAGE, f"{where}.")
    role = fields.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError("invalid_value", f"{where}.role is not one of {', '.join(sorted(ROLES))}.", param=where)
    for key in ("name", "refusal", "tool_call_id"):
        if not isinstance(fields.get(key, ""), str):
            raise RequestError("invalid_type", f"{where}.{key} must be a string.", param=where)
    content = fields.get("content")
    if isinstance(content, list):
        for i, part in enumerate(content):
            _part(part, f"{where}.content[{i}]", features)
    elif content is not None and not isinstance(content, str):
        raise RequestError("invalid_type", f"{where}.content must be a string or a list of parts.", param=where)
    if "tool_calls" in fields:
        _calls(fields["tool_calls"], f"{where}.tool_calls")
    return fields


def _calls(value: Any, where: str) -> None:
    """Judge earlier calls that are sent back: an engine parses their arguments, and fails where they are no JSON."""
    if not isinstance(value, list) or not value:
        raise RequestError("invalid_type", f"{where} must be a list that is not empty.", param=where)
    for item in value:
        call = read_part(item, frozenset({"function", "id", "type"}), where)
        function = read_part(call.get("function"), frozenset({"arguments", "name"}), where)
        if call.get("type") != "function" or not isinstance(call.get("id"), str):
            raise RequestError("invalid_value", f"{where} must be functions with an id.", param=where)
        _named(function, where, schema="parameters")
        arguments = function.get("arguments")
        if not isinstance(arguments, str) or len(arguments) > _MAX_ARGUMENTS:
            raise RequestError("invalid_type", f"{where}: arguments must be a string.", param=where)
        read_object(arguments.encode(errors="replace"), depth=_ARGUMENTS_DEPTH)


def _part(part: Any, where: str, features: Features) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in PARTS:
        known = ", ".join(sorted(PARTS))
        raise RequestError("invalid_value", f"{where} must be a part of a known type: {known}.", param=where)
    refuse_unknown(part, PARTS[kind], f"{where}.")
    if kind == "image_url":
        image = part.get("image_url")
        if not isinstance(image, dict) or not _holds_texts({**image, "url": ""}, {"detail", "url"}):
            raise RequestError("invalid_type", f"{where}.image_url must hold url, and perhaps detail.", param=where)
        if not isinstance(image.get("url"), str) or not image["url"].startswith("data:"):
            raise RequestError("invalid_image_url", "Only data: URLs; nothing is fetched from here.", param=where)
    elif kind == "input_audio":
        audio = part.get("input_audio")
        if not _holds_texts(audio, {"data", "format"}) or len(audio) < 2:
            raise RequestError("invalid_type", f"{where}.input_audio must hold data and format.", param=where)
    elif not isinstance(part.get(kind), str):
        raise RequestError("invalid_type", f"{where}.{kind} must be a string.", param=where)
    if kind in MEDIA:
        features.require("media", f"{where}.{kind}")


def _media(messages: list[dict[str, Any]], limits: Limits) -> list[dict[str, Any]]:
    """Return all images and sounds; more than any engine was told of would cost the gateway's one thread time."""
    contents = [message.get("content") for message in messages]
    parts = (part for content in contents if isinstance(content, list) for part in content)
    media = [part for part in parts if part["type"] in MEDIA]
    if len(media) > limits.media:
        message = f"messages have more than {limits.media} images and sounds."
        raise RequestError("array_above_max_length", message, param="messages")
    return media


def _holds_texts(value: Any, known: set[str]) -> bool:
    return isinstance(value, dict) and value.keys() <= known and all(isinstance(item, str) for item in value.values())


def _tools(value: Any, limits: Limits) -> None:
    if not isinstance(value, list) or not value or len(value) > limits.tools:
        raise RequestError("invalid_type", f"tools must be a list of 1 to {limits.tools} functions.", param="tools")
    for i, item in enumerate(value):
        where = f"tools[{i}]"
        tool = read_part(item, frozenset({"function", "type"}), where)
        if tool.get("type") != "function":
            raise RequestError("invalid_value", f"{where}.type must be function.", param=where)
        known = frozenset({"description", "name", "parameters", "strict"})
        _named(read_part(tool.get("function"), known, f"{where}.function"), f"{where}.function", schema="parameters")


def _named(fields: dict[str, Any], where: str, *, schema: str) -> None:
    """Judge what a function and a format have in common: name, description, strict, and a schema."""
    if not isinstance(fields.get("name"), str) or not _NAME.fullmatch(fields["name"]):
        raise RequestError("invalid_value", f"{where}.name must be 1 to 64 letters, digits, _ or -.", param=where)
    for key, kind in (("description", str), ("strict", bool), (schema, dict)):
        if fields.get(key) is not None and not isinstance(fields[key], kind):
            raise RequestError("invalid_type", f"{where}.{key} has the wrong type.", param=where)


def _tool_choice(value: Any, features: Features) -> None:
    if isinstance(value, str):
        if value not in {"none", "auto", "required"}:
            raise RequestError("invalid_value", "tool_choice is not one of auto, none, required.", param="tool_choice")
        return
    choice = read_part(value, frozenset({"function", "type"}), "tool_choice")
    function = read_part(choice.get("function"), frozenset({"name"}), "tool_choice.function")
    if choice.get("type") != "function":
        raise RequestError("invalid_value", "tool_choice.type must be function.", param="tool_choice")
    _named(function, "tool_choice.function", schema="parameters")
    features.require("named_tool", "tool_choice")


def _format(value: Any) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise RequestError("invalid_value", f"response_format.type is not one of {known}.", param="response_format")
    refuse_unknown(value, FORMATS[kind], "response_format.")
    if kind == "json_schema":
        where = "response_format.json_schema"
        fields = read_part(value.get("json_schema"), frozenset({"description", "name", "schema", "strict"}), where)
        _named(fields, where, schema="schema")


def _write_patterns(fields: dict[str, Any]) -> None:
    """Write the patterns of all schemas anew, for an engine that takes them for patterns of the JSON."""
    if schema := fields.get("response_format", {}).get("json_schema", {}).get("schema"):
        written = {**fields["response_format"]["json_schema"], "schema": write_schema(schema, "response_format")}
        fields["response_format"] = {**fields["response_format"], "json_schema": written}
    if "tools" in fields:
        fields["tools"] = [{**tool, "function": _write_function(tool["function"])} for tool in fields["tools"]]


def _write_function(function: dict[str, Any]) -> dict[str, Any]:
    if "parameters" not in function:
        return function
    return {**function, "parameters": write_schema(function["parameters"], "tools")}


def _forward(path: str, fields: dict[str, Any], rules: Rules, salt: str) -> EngineRequest:
    """Judge what chats and completions have in common, and write the engine's request."""
    fields.setdefault("stream", False)
    if "stop" in fields:
        _stop(fields["stop"], rules.limits)
    if "logit_bias" in fields:
        _logit_bias(fields["logit_bias"])
    if "structured_outputs" in fields:
        _structured(fields["structured_outputs"], rules.of(fields))
    if rules.of(fields).salted:
        fields["cache_salt"] = salt
    usage, most = _ask_for_usage(fields), _answer_tokens(fields, rules.limits)
    return EngineRequest(
        fields["model"], path, encode(fields), stream=fields["stream"], usage=usage, answer_tokens=most
    )


def _stop(value: Any, limits: Limits) -> None:
    stops = value if isinstance(value, list) else [value]
    if not all(isinstance(stop, str) for stop in stops):
        raise RequestError("invalid_type", "stop must be a string or a list of strings.", param="stop")
    if len(stops) > limits.stops or any(not 0 < len(stop) <= limits.stop_length for stop in stops):
        message = f"stop takes up to {limits.stops} strings of 1 to {limits.stop_length} characters."
        raise RequestError("array_above_max_length", message, param="stop")


def _logit_bias(value: Any) -> None:
    if not isinstance(value, dict) or not all(key.isdecimal() and len(key) < 10 for key in value):
        raise RequestError("invalid_type", "logit_bias must map token numbers to numbers.", param="logit_bias")
    for bias in value.values():
        judge_plain(bias, {"type": "number", "minimum": -100, "maximum": 100}, "logit_bias")


def _ask_for_usage(fields: dict[str, Any]) -> bool:
    """Have a stream end with what it used, since the gateway counts it; return whether the client asked for that."""
    options = read_part(fields.get("stream_options", {}), STREAM_OPTIONS, "stream_options")
    for name, value in options.items():
        judge_plain(value, {"type": "boolean"}, f"stream_options.{name}")
    if "stream_options" in fields and not fields["stream"]:
        raise RequestError("invalid_value", "stream_options is for stream: true.", param="stream_options")
    if fields["stream"]:
        fields["stream_options"] = {"include_usage": True}
    return options.get("include_usage") is True


def _answer_tokens(fields: dict[str, Any], limits: Limits) -> int:
    """Return the most tokens that the answers may have: of each of ``n``, to each prompt of a list."""
    said = [fields[key] for key in ("max_tokens", "max_completion_tokens") if key in fields]
    prompt = fields.get("prompt")
    several = isinstance(prompt, list) and not isinstance(prompt[0], int)
    prompts = len(prompt) if several and isinstance(prompt, list) else 1
    return max(said, default=limits.answer_tokens) * int(fields.get("n", 1)) * prompts


def _structured(value: Any, features: Features) -> None:
    features.require("structured_outputs", "structured_outputs")
    fields = read_part(value, STRUCTURED, "structured_outputs")
    choice = fields.get("choice", ["x"])
    schema = isinstance(fields.get("json", {}), dict)
    fits = isinstance(choice, list) and choice and all(isinstance(item, str) for item in choice)
    if len(fields) != 1 or not fits or not isinstance(fields.get("regex", ""), str) or not schema:
        message = "structured_outputs takes one of choice (texts), json (a schema), regex (a text)."
        raise RequestError("invalid_type", message, param="structured_outputs")
