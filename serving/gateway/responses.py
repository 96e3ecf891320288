"""Judging a request for ``/v1/responses``, and turning it into a chat: the same model, and nothing is kept.

OpenAI's Responses are a chat with other names plus a store of earlier ones. Engines that have the route themselves keep
answers (vLLM), or drop fields and number no events (llama.cpp), so the gateway translates: what passes here is judged
again as a chat. There is no store, so ``store`` and ``background`` must be false or absent, and there is no
``previous_response_id`` to continue.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from serving.errors import RequestError
from serving.gateway.fields import RESPONSE, RESPONSE_PLAIN, ROLES
from serving.gateway.requests import forward_chat
from serving.gateway.responding import Asked, Narrator, whole_response
from serving.gateway.rules import EngineRequest, Rules, judge, read_part

_TEXTS = frozenset({"input_text", "output_text"})
_SAME = ("temperature", "top_p", "parallel_tool_calls", "stream")
_FROM_AN_ANSWER = frozenset({"id", "status"})
"""What an item has besides, when it is sent back as it came."""


def response_request(data: bytes, rules: Rules, salt: str) -> EngineRequest:
    """Judge a request for ``/v1/responses``.

    Raises:
        RequestError: with OpenAI's code and the field's name, which is the chat's where only the chat knows.
    """
    fields = judge(data, RESPONSE, RESPONSE_PLAIN, rules)
    if fields.get("background"):
        raise RequestError("unsupported_value", "Nothing runs in the background here.", param="background")
    chat: dict[str, Any] = {"model": fields["model"], "messages": _messages(fields)}
    chat |= {key: fields[key] for key in _SAME if key in fields}
    if "max_output_tokens" in fields:
        chat["max_completion_tokens"] = fields["max_output_tokens"]
    if tools := _tools(fields.get("tools", [])):
        chat["tools"] = tools
    if "tool_choice" in fields:
        chat["tool_choice"] = _tool_choice(fields["tool_choice"])
    if "text" in fields:
        chat["response_format"] = _format(fields["text"])
    if chat.setdefault("stream", False):
        chat["stream_options"] = {"include_usage": True}
    asked = Asked({key: value for key, value in fields.items() if key not in {"input", "stream"}})
    request = forward_chat(chat, rules, salt)
    return replace(request, answer=partial(whole_response, asked), events=lambda: Narrator(asked).narrate)


def _messages(fields: dict[str, Any]) -> list[Any]:
    given = fields.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise RequestError("invalid_type", "input must be a string or a list that is not empty.", param="input")
    messages: list[Any] = []
    if "instructions" in fields:
        messages.append({"role": "system", "content": fields["instructions"]})
    for i, item in enumerate(items):
        _add(messages, item, f"input[{i}]")
    return messages


def _add(messages: list[Any], item: Any, where: str) -> None:
    """Add what one item is in a chat: calls that follow one another belong to one message of the assistant."""
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if kind == "function_call":
        call = read_part(item, _FROM_AN_ANSWER | {"arguments", "call_id", "name", "type"}, where)
        _texts(call, ("arguments", "call_id", "name"), where)
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant"})
        function = {"name": call["name"], "arguments": call["arguments"]}
        calls = messages[-1].setdefault("tool_calls", [])
        calls.append({"type": "function", "id": call["call_id"], "function": function})
    elif kind == "function_call_output":
        output = read_part(item, _FROM_AN_ANSWER | {"call_id", "output", "type"}, where)
        _texts(output, ("call_id", "output"), where)
        messages.append({"role": "tool", "tool_call_id": output["call_id"], "content": output["output"]})
    elif kind == "message":
        message = read_part(item, _FROM_AN_ANSWER | {"content", "role", "type"}, where)
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES - {"tool"}:
            raise RequestError("invalid_value", f"{where}.role is not known.", param=where)
        messages.append({"role": role, "content": _content(message.get("content"), where)})
    else:
        raise RequestError("invalid_value", f"{where} must be a message, a function_call or its output.", param=where)


def _content(content: Any, where: str) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RequestError("invalid_type", f"{where}.content must be a string or a list of parts.", param=where)
    parts = [_part(part, f"{where}.content[{i}]") for i, part in enumerate(content)]
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind in _TEXTS:
        known = read_part(part, frozenset({"annotations", "logprobs", "text", "type"}), where)
        _texts(known, ("text",), where)
        return {"type": "text", "text": known["text"]}
    if kind == "input_image":
        known = read_part(part, frozenset({"detail", "image_url", "type"}), where)
        return {"type": "image_url", "image_url": {"url": known.get("image_url")}}
    raise RequestError("invalid_value", f"{where} must be input_text, output_text or input_image.", param=where)


def _tools(tools: Any) -> Any:
    if not isinstance(tools, list):
        raise RequestError("invalid_type", "tools must be a list of functions.", param="tools")
    found = []
    for i, tool in enumerate(tools):
        known = frozenset({"description", "name", "parameters", "strict", "type"})
        function = {key: value for key, value in read_part(tool, known, f"tools[{i}]").items() if value is not None}
        found.append({"type": function.pop("type", None), "function": function})
    return found


def _tool_choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    known = read_part(choice, frozenset({"name", "type"}), "tool_choice")
    return {"type": known.get("type"), "function": {"name": known.get("name")}}


def _format(text: Any) -> Any:
    chosen = read_part(text, frozenset({"format"}), "text").get("format", {"type": "text"})
    if not isinstance(chosen, dict) or chosen.get("type") != "json_schema":
        return chosen
    return {"type": "json_schema", "json_schema": {key: chosen[key] for key in chosen if key != "type"}}


def _texts(fields: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in names:
        if not isinstance(fields.get(name), str):
            raise RequestError("invalid_type", f"{where}.{name} must be a string.", param=where)
