"""An engine's whole chat answer as OpenAI's Response, and the objects that a Response is made of."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from serving.errors import EngineError

CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by the chat's reason."""
_DEFAULTS: dict[str, Any] = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "object": "response",
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "usage": None,
}


def begin_response(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Make a Response that has not begun; it repeats what was asked to whoever sent that."""
    own = {"id": _id("resp", 16), "created_at": int(time.time()), "status": "in_progress", "output": []}
    return {**_DEFAULTS, **asked, **own}


def end_response(begun: Mapping[str, Any], output: list[Any], finish: str, usage: Any) -> dict[str, Any]:
    """Complete a Response by its items; ``finish`` is the chat's reason."""
    cut = {"reason": CUT[finish]} if finish in CUT else None
    status = "incomplete" if cut else "completed"
    return {**begun, "status": status, "incomplete_details": cut, "output": output, "usage": _usage(usage)}


def whole_response(asked: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Turn a whole chat answer into a Response.

    Raises:
        EngineError: the answer is no chat's.
    """
    try:
        choice = answer["choices"][0]
        output = _output(choice["message"].get("content"), choice["message"].get("tool_calls") or [])
        return end_response(begin_response(asked), output, choice["finish_reason"] or "stop", answer.get("usage"))
    except (AttributeError, KeyError, IndexError, TypeError):
        raise EngineError("the engine's chat is none") from None


def message_item(content: list[Any], status: str) -> dict[str, Any]:
    """Make the item that holds a text."""
    return {"id": _id("msg"), "type": "message", "role": "assistant", "status": status, "content": content}


def text_part(text: Any) -> dict[str, Any]:
    """Make the part of a message that is its text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(call: Mapping[str, Any], arguments: Any, status: str) -> dict[str, Any]:
    """Make the item that is a call, of the chat's."""
    given = {"name": call["function"]["name"], "arguments": arguments}
    return {"id": _id("fc"), "type": "function_call", "call_id": call["id"], "status": status, **given}


def _output(text: Any, calls: list[Any]) -> list[Any]:
    items = [message_item([text_part(text or "")], "completed")] if text or not calls else []
    return items + [call_item(call, call["function"].get("arguments") or "", "completed") for call in calls]


def _usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


def _id(kind: str, size: int = 12) -> str:
    return f"{kind}_{secrets.token_hex(size)}"
