"""Counting what one request uses of its caller's budget, by the engine's own figures where there are any.

A request holds the most that it may use before it begins, and is counted when it ends, however it ends:

    the engine said how much it was              → that
    it answered without a word about it          → the prompt's estimate (texts as token numbers, and back)
    the engine refused, or was not reached        → nothing
    it failed, and said so                        → the prompt's estimate
    a stream was cut off by either side           → the prompt's estimate, and one for each event
    a whole answer was, or is none                → all that was held: how far the engine was, nobody knows

What fails costs, because a caller can have his requests fail, and the engine has worked for each.

A stream is always asked for its usage; whoever did not ask for it does not see it.
"""

from __future__ import annotations

import json
import re
from types import TracebackType
from typing import Any, Self

from serving.access.interface import Budget
from serving.errors import RequestError
from serving.gateway.engine import NOT_REACHED
from serving.gateway.rules import EngineRequest

_END, _DATA = b"\n\n", b"data:"
_USAGE = re.compile(rb'"usage"\s*:\s*\{')  # within a JSON string the quotes would be escaped
_SPENT = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
_NOTHING_DONE = frozenset({*range(400, 500), 503})  # the engine refused
_BYTES_A_TOKEN = 4  # of a request's JSON: an estimate, for what the engine never said


class Meter:
    """One request's count."""

    def __init__(self, budget: Budget, request: EngineRequest) -> None:
        self._budget, self._stream, self._usage = budget, request.stream, request.usage
        self._prompt = len(request.body) // _BYTES_A_TOKEN + 1
        self._held = self._prompt + request.answer_tokens
        self._said: int | None = None
        self._failed: Exception | None = None
        self._events = 0

    def __enter__(self) -> Self:
        """Hold the most that the request may use.

        Raises:
            RequestError: the budget does not cover it.
        """
        self._budget.hold(self._held)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Count what was used."""
        self._budget.settle(self._held, self._used(error or self._failed))

    def whole(self, answer: dict[str, Any]) -> None:
        """Take note of a whole answer."""
        self._note(answer)

    def events(self, events: bytes, count: int) -> bytes:
        """Take note of so many whole events of a stream; return those that the client is meant to see."""
        self._events += count
        if not _USAGE.search(events):
            return events
        return b"".join([self._event(event) for event in events.split(_END)[:-1]])

    def failed(self, error: Exception) -> None:
        """Take note of what ended a stream whose client has been told already, by a last event."""
        self._failed = error

    def _used(self, error: BaseException | None) -> int:
        if self._said is not None:
            return self._said
        if isinstance(error, NOT_REACHED) or (isinstance(error, RequestError) and error.status in _NOTHING_DONE):
            return 0
        if error is None or self._stream or isinstance(error, RequestError):
            return self._prompt + self._events
        return self._held

    def _event(self, event: bytes) -> bytes:
        try:
            value = json.loads(event.removeprefix(_DATA))
        except (ValueError, RecursionError):
            return event + _END
        if not isinstance(value, dict) or not self._note(value) or self._usage or "usage" not in value:
            return event + _END
        del value["usage"]
        if value.get("choices") == []:
            return b""
        return _DATA + b" " + json.dumps(value, ensure_ascii=False).encode(errors="replace") + _END

    def _note(self, answer: dict[str, Any]) -> bool:
        """Take the usage from an answer or event; of a response (OpenAI's newer API) it is one level down."""
        inner = answer.get("response")
        usage = answer.get("usage") or (inner.get("usage") if isinstance(inner, dict) else None)
        if not isinstance(usage, dict):
            return False
        self._said = sum(max((_count(usage.get(name)) for name in names), default=0) for names in _SPENT)
        return True


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
