"""An engine's chat answer as OpenAI's Response, whole or as the events of a stream."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from serving.errors import EngineError

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
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the request a Response repeats to whoever sent it."""

    fields: dict[str, Any]

    def response(self, output: list[Any], finish: str | None, usage: Any) -> dict[str, Any]:
        """Make a Response; ``finish`` is the chat's reason, None while it goes on."""
        status = "in_progress" if finish is None else "incomplete" if finish in _CUT else "completed"
        cut = {"reason": _CUT[finish]} if finish in _CUT else None
        return {
            **_DEFAULTS,
            **self.fields,
            "id": "resp_" + secrets.token_hex(16),
            "created_at": int(time.time()),
            "status": status,
            "incomplete_details": cut,
            "output": output,
            "usage": _usage(usage),
        }


def whole_response(asked: Asked, answer: dict[str, Any]) -> dict[str, Any]:
    """Turn a whole chat answer into a Response.

    Raises:
        EngineError: the answer is no chat's.
    """
    try:
        choice = answer["choices"][0]
        output = _output(choice["message"].get("content"), choice["message"].get("tool_calls") or [])
        return asked.response(output, choice["finish_reason"] or "stop", answer.get("usage"))
    except (AttributeError, KeyError, IndexError, TypeError):
        raise EngineError("the engine's chat is none") from None


def _output(text: Any, calls: list[Any]) -> list[Any]:
    items = [_message(text, "completed")] if text or not calls else []
    return items + [_call(call["id"], call["function"], "completed") for call in calls]


def _message(text: Any, status: str) -> dict[str, Any]:
    content = [_part(text or "")] if status == "completed" else []
    return {"id": _id("msg"), "type": "message", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(call_id: str, function: dict[str, Any], status: str) -> dict[str, Any]:
    given = {"name": function["name"], "arguments": function.get("arguments") or ""}
    return {"id": _id("fc"), "type": "function_call", "call_id": call_id, "status": status, **given}


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


def _id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


class Narrator:
    """Tells one chat stream as a Response's events: each item is opened, filled piece by piece, and closed."""

    def __init__(self, asked: Asked) -> None:
        self._asked, self._number = asked, 0
        self._items: list[dict[str, Any]] = []
        self._filled = ""  # of the item that is open, the last one
        self._call: Any = None  # the index of the open item's call, None for text
        self._open = False
        self._finish, self._usage = "stop", None
        self._frame: dict[str, Any] = {}
        self._told: list[bytes] = []

    def narrate(self, events: bytes) -> bytes:
        """Return the events that tell what these whole events of the chat say; none is ``b""``.

        Raises:
            EngineError: they are no chat's.
        """
        self._told = []
        if not self._frame:
            self._frame = self._asked.response([], None, None)
            for name in ("response.created", "response.in_progress"):
                self._tell(name, response=self._frame)
        for line in events.splitlines():
            if line.startswith(b"data: "):
                self._hear(line[6:])
        return b"".join(self._told)

    def _hear(self, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            return self._end()
        try:
            chunk = json.loads(data)
            self._usage = chunk.get("usage") or self._usage
            for choice in chunk["choices"][:1]:
                self._take(choice)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise EngineError("the engine's chat is none") from None
        return None

    def _take(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or {}
        if delta.get("content"):
            self._fill(delta["content"], None, lambda: _message("", "in_progress"))
        for call in delta.get("tool_calls") or []:
            function = call.get("function") or {}
            arguments = function.get("arguments") or ""
            made = {"name": function.get("name"), "arguments": ""}
            self._fill(arguments, call["index"], lambda c=call, m=made: _call(c["id"], m, "in_progress"))
        self._finish = choice.get("finish_reason") or self._finish

    def _fill(self, text: str, call: Any, make: Any) -> None:
        """Add to the open item; another one is opened where the text belongs to another."""
        if not self._open or call != self._call:
            self._close()
            self._call, self._open = call, True
            self._items.append(make())
            self._tell("response.output_item.added", output_index=self._at, item=self._items[-1])
            if call is None:
                self._tell("response.content_part.added", **self._where, part=_part(""))
        self._filled += text
        if call is None:
            self._tell("response.output_text.delta", **self._where, delta=text, logprobs=[])
        elif text:
            self._tell("response.function_call_arguments.delta", **self._where, delta=text)

    @property
    def _at(self) -> int:
        return len(self._items) - 1

    @property
    def _where(self) -> dict[str, Any]:
        place = {"item_id": self._items[-1]["id"], "output_index": self._at}
        return place if self._call is not None else {**place, "content_index": 0}

    def _close(self) -> None:
        if not self._open:
            return
        text, item = self._filled, self._items[-1]
        self._filled, self._open = "", False
        if self._call is None:
            part = _part(text)
            self._tell("response.output_text.done", **self._where, text=text, logprobs=[])
            self._tell("response.content_part.done", **self._where, part=part)
            self._items[-1] = {**item, "status": "completed", "content": [part]}
        else:
            self._tell("response.function_call_arguments.done", **self._where, name=item["name"], arguments=text)
            self._items[-1] = {**item, "status": "completed", "arguments": text}
        self._tell("response.output_item.done", output_index=self._at, item=self._items[-1])

    def _end(self) -> None:
        if not self._items:
            self._fill("", None, lambda: _message("", "in_progress"))
        self._close()
        response = self._asked.response(self._items, self._finish, self._usage)
        response |= {"id": self._frame["id"], "created_at": self._frame["created_at"]}
        name = "response.incomplete" if self._finish in _CUT else "response.completed"
        self._tell(name, response=response)

    def _tell(self, event: str, **fields: Any) -> None:
        data = json.dumps({"type": event, "sequence_number": self._number, **fields}, ensure_ascii=False)
        self._number += 1
        self._told.append(f"event: {event}\ndata: {data}\n\n".encode(errors="replace"))
