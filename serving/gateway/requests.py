"""Judging a chat or completion request: what is forwarded, what is dropped, what is refused.

Nothing that passes makes the engine fetch, store or log anything.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from serving.errors import RequestError
from serving.gateway.body import read_object
from serving.gateway.fields import (
    CHAT,
    COMPLETION,
    COUNTS,
    IGNORED,
    MESSAGE,
    MESSAGE_IGNORED,
    PARTS,
    ROLES,
    SCHEMAS,
    STREAM_OPTIONS,
)
from serving.gateway.limits import Limits


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A judged request: the model, the engine's path, the bytes for it, and whether the answer comes as a stream.

    ``usage`` is whether the client asked for a stream's usage, ``answer_tokens`` how long the answers may be in all.
    """

    model: str
    path: str
    body: bytes
    stream: bool
    usage: bool = True
    answer_tokens: int = 0


def chat_request(data: bytes, *, models: Collection[str], limits: Limits) -> EngineRequest:
    """Judge a request for ``/v1/chat/completions``.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = _top(data, CHAT, models=models, limits=limits)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("invalid_type", "messages must be a list that is not empty.", param="messages")
    fields["messages"] = [_message(item, f"messages[{i}]") for i, item in enumerate(messages)]
    return _forward("/v1/chat/completions", fields, limits)


def completion_request(data: bytes, *, models: Collection[str], limits: Limits) -> EngineRequest:
    """Judge a request for ``/v1/completions``.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = _top(data, COMPLETION, models=models, limits=limits)
    if not isinstance(fields.get("prompt"), (str, list)):
        raise RequestError("invalid_type", "prompt must be a string or a list.", param="prompt")
    return _forward("/v1/completions", fields, limits)


def model_not_found(models: Collection[str]) -> RequestError:
    """Make the refusal of a model that is not here."""
    text = f"The model does not exist; this server has {', '.join(models)}."
    return RequestError("model_not_found", text, status=404, param="model")


def _top(data: bytes, known: frozenset[str], *, models: Collection[str], limits: Limits) -> dict[str, Any]:
    fields = read_object(data, depth=limits.json_depth)
    fields = {key: value for key, value in fields.items() if value is not None and key not in IGNORED}
    if fields.pop("store", False) is not False:
        raise RequestError("unsupported_value", "Nothing is stored here; leave out store.", param="store")
    _refuse_unknown(fields, known, "")
    if not isinstance(fields.get("model"), str):
        raise RequestError("missing_required_parameter", "You must provide a model parameter.", param="model")
    if fields["model"] not in models:
        raise model_not_found(models)
    if not isinstance(fields.setdefault("stream", False), bool):
        raise RequestError("invalid_type", "stream must be true or false.", param="stream")
    for key in COUNTS:
        if fields.get(key) is not None:
            _count(fields[key], key)
    for key in SCHEMAS:
        _schema(fields.get(key), key, limits.schema_bytes)
    return fields


def _count(value: Any, name: str) -> None:
    """Require a positive number: to an engine, a negative one may mean "without end"."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RequestError("integer_below_min_value", f"{name} must be an integer of at least 1.", param=name)


def _refuse_unknown(fields: dict[str, Any], known: frozenset[str], where: str) -> None:
    unknown = sorted(fields.keys() - known)
    if unknown:
        name = where + unknown[0][:64] if unknown[0].isidentifier() else where + "?"
        raise RequestError("unknown_parameter", f"Unrecognized request argument supplied: {name}", param=name)


def _message(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError("invalid_type", f"{where} must be an object.", param=where)
    fields = {key: item for key, item in value.items() if item is not None and key not in MESSAGE_IGNORED}
    _refuse_unknown(fields, MESSAGE, f"{where}.")
    role = fields.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError("invalid_value", f"{where}.role is not one of {', '.join(sorted(ROLES))}.", param=where)
    content = fields.get("content")
    if isinstance(content, list):
        for i, part in enumerate(content):
            _part(part, f"{where}.content[{i}]")
    elif content is not None and not isinstance(content, str):
        raise RequestError("invalid_type", f"{where}.content must be a string or a list of parts.", param=where)
    return fields


def _part(part: Any, where: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in PARTS:
        known = ", ".join(sorted(PARTS))
        raise RequestError("invalid_value", f"{where} must be a part of a known type: {known}.", param=where)
    _refuse_unknown(part, PARTS[kind], f"{where}.")
    if kind == "image_url":
        image = part.get("image_url")
        if not isinstance(image, dict) or image.keys() - {"detail", "url"}:
            raise RequestError("invalid_type", f"{where}.image_url must hold url, and perhaps detail.", param=where)
        if not isinstance(image.get("url"), str) or not image["url"].startswith("data:"):
            raise RequestError("invalid_image_url", "Only data: URLs; nothing is fetched from here.", param=where)
    elif kind == "input_audio":
        audio = part.get("input_audio")
        if not isinstance(audio, dict) or audio.keys() - {"data", "format"}:
            raise RequestError("invalid_type", f"{where}.input_audio must hold data and format.", param=where)
    elif not isinstance(part.get(kind), str):
        raise RequestError("invalid_type", f"{where}.{kind} must be a string.", param=where)


def _schema(value: Any, name: str, limit: int) -> None:
    if len(json.dumps(value)) > limit:
        raise RequestError("string_above_max_length", f"{name} has more than {limit} bytes.", param=name)
    level = [value]
    while level:
        item = level.pop()
        if isinstance(item, dict):
            reference = item.get("$ref", "#")
            if isinstance(reference, str) and not reference.startswith("#"):
                raise RequestError("invalid_value", f"{name}: only references within the schema.", param=name)
            level.extend(item.values())
        elif isinstance(item, list):
            level.extend(item)


def _forward(path: str, fields: dict[str, Any], limits: Limits) -> EngineRequest:
    usage, most = _ask_for_usage(fields), _answer_tokens(fields, limits)
    return EngineRequest(
        fields["model"], path, json.dumps(fields, allow_nan=False).encode(), fields["stream"], usage, most
    )


def _ask_for_usage(fields: dict[str, Any]) -> bool:
    """Have a stream end with what it used, since the gateway counts it; return whether the client asked for that."""
    options = fields.get("stream_options", {})
    if not isinstance(options, dict) or options.keys() - STREAM_OPTIONS:
        known = ", ".join(sorted(STREAM_OPTIONS))
        raise RequestError("invalid_type", f"stream_options must hold {known} alone.", param="stream_options")
    if fields["stream"]:
        fields["stream_options"] = {"include_usage": True}
    return options.get("include_usage") is True


def _answer_tokens(fields: dict[str, Any], limits: Limits) -> int:
    """Return the most tokens that the answers may have: of each of ``n``, to each prompt of a list."""
    said = [fields[key] for key in ("max_tokens", "max_completion_tokens") if key in fields]
    prompt = fields.get("prompt")
    several = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
    prompts = len(prompt) if several and isinstance(prompt, list) else 1
    return max(said, default=limits.answer_tokens) * int(fields.get("n", 1)) * prompts
