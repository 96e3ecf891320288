"""A chat's stream as the events of OpenAI's Response: each item is opened, filled piece by piece, and closed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from serving.errors import EngineError
from serving.gateway.response_object import CUT, begin_response, call_item, end_response, message_item, text_part

Event = tuple[str, dict[str, Any]]
"""Its type, and what it holds besides that and its number."""


class ResponseEvents:
    """Translates one stream."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._response = begin_response(asked)
        self._finish, self._usage = "stop", None
        self._items: list[dict[str, Any]] = []
        self._open: _Message | _Call | None = None
        self._number = 0

    def translate(self, events: bytes) -> bytes:
        """Return the events that tell what these whole events of the chat say; none is ``b""``.

        Raises:
            EngineError: they are no chat's.
        """
        try:
            return b"".join([self._encode(*event) for event in self._read(events)])
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise EngineError("the engine's chat is none") from None

    def _encode(self, kind: str, fields: dict[str, Any]) -> bytes:
        data = json.dumps({"type": kind, "sequence_number": self._number, **fields}, ensure_ascii=False)
        self._number += 1
        return f"event: {kind}\ndata: {data}\n\n".encode(errors="replace")

    def _read(self, events: bytes) -> Iterator[Event]:
        if not self._number:
            yield "response.created", {"response": self._response}
            yield "response.in_progress", {"response": self._response}
        for line in events.splitlines():
            if line.startswith(b"data: "):
                yield from self._end() if line[6:].strip() == b"[DONE]" else self._chunk(line[6:])

    def _chunk(self, data: bytes) -> Iterator[Event]:
        chunk = json.loads(data)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"][:1]:
            delta = choice.get("delta") or {}
            if delta.get("content"):
                yield from self._write(delta["content"])
            for call in delta.get("tool_calls") or []:
                yield from self._write((call.get("function") or {}).get("arguments") or "", call)
            self._finish = choice.get("finish_reason") or self._finish

    def _write(self, text: str, call: dict[str, Any] | None = None) -> Iterator[Event]:
        """Add to the open item; another one is opened where the text belongs to another."""
        index = None if call is None else call["index"]
        if self._open is None or self._open.index != index:
            yield from self._close()
            place = len(self._items)
            self._open = _Message(place) if call is None else _Call(place, call)
            yield "response.output_item.added", {"output_index": place, "item": self._open.item}
            yield from self._open.begin()
        yield from self._open.add(text)

    def _close(self) -> Iterator[Event]:
        if self._open is None:
            return
        yield from self._open.end()
        yield "response.output_item.done", {"output_index": len(self._items), "item": self._open.item}
        self._items.append(self._open.item)
        self._open = None

    def _end(self) -> Iterator[Event]:
        if not self._items and self._open is None:
            yield from self._write("")
        yield from self._close()
        kind = "response.incomplete" if self._finish in CUT else "response.completed"
        yield kind, {"response": end_response(self._response, self._items, self._finish, self._usage)}


class _Message:
    """The answer's text while it is being written; ``place`` is its number among the items."""

    index = None

    def __init__(self, place: int) -> None:
        self.item = message_item([], "in_progress")
        self._text = ""
        self._where = {"item_id": self.item["id"], "output_index": place, "content_index": 0}

    def begin(self) -> Iterator[Event]:
        """Open the one part that it has."""
        yield "response.content_part.added", {**self._where, "part": text_part("")}

    def add(self, text: str) -> Iterator[Event]:
        """Add a piece."""
        self._text += text
        yield "response.output_text.delta", {**self._where, "delta": text, "logprobs": []}

    def end(self) -> Iterator[Event]:
        """Close part and item."""
        part = text_part(self._text)
        yield "response.output_text.done", {**self._where, "text": self._text, "logprobs": []}
        yield "response.content_part.done", {**self._where, "part": part}
        self.item = {**self.item, "status": "completed", "content": [part]}


class _Call:
    """A call while its arguments are being written; ``index`` is its number among the chat's calls."""

    def __init__(self, place: int, call: Mapping[str, Any]) -> None:
        self.index = call["index"]
        self.item = call_item(call, "", "in_progress")
        self._arguments = ""
        self._where = {"item_id": self.item["id"], "output_index": place}

    def begin(self) -> Iterator[Event]:
        """Have no part: there is nothing to tell."""
        yield from ()

    def add(self, text: str) -> Iterator[Event]:
        """Add a piece of the arguments; the first one is often none."""
        self._arguments += text
        if text:
            yield "response.function_call_arguments.delta", {**self._where, "delta": text}

    def end(self) -> Iterator[Event]:
        """Close the item."""
        told = {"name": self.item["name"], "arguments": self._arguments}
        yield "response.function_call_arguments.done", {**self._where, **told}
        self.item = {**self.item, "status": "completed", "arguments": self._arguments}
