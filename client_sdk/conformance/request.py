"""A stage's request: the fields that it takes, read strictly. Bytes are base64, instants are 2026-01-31T12:00:00Z."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from client_sdk.encoding import from_base64, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import instant, integer, items, text
from client_sdk.report import Ledger

MAX_BLOB = 16 * 1024 * 1024
MAX_REQUEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """The JSON object on standard input; every accessor names the field in its error."""

    fields: Mapping[str, Any]

    @classmethod
    def read(cls, data: bytes) -> Request:
        """Read a request.

        Raises:
            EvidenceError: it is not one JSON object.
        """
        fields = strict_json(data, limit=MAX_REQUEST)
        if not isinstance(fields, dict):
            raise EvidenceError("$", "not an object")
        return cls(fields)

    def only(self, *known: str) -> None:
        """Refuse a field that this stage does not know; ``now`` may stand in each request, used or not."""
        unknown = sorted(self.fields.keys() - {*known, "now"})
        if unknown:
            raise EvidenceError("$", f"unknown field {unknown[0][:64]!r}; this stage takes {', '.join(sorted(known))}")

    def has(self, name: str) -> bool:
        """Tell whether a field is there and is not null."""
        return self.fields.get(name) is not None

    def blob(self, name: str) -> bytes:
        """Return the bytes of a field."""
        return from_base64(self._value(name), f"$.{name}", limit=MAX_BLOB)

    def blobs(self, name: str) -> tuple[bytes, ...]:
        """Return a list of byte strings; a missing field is an empty list."""
        if not self.has(name):
            return ()
        found = items(self.fields[name], f"$.{name}", limit=64)
        return tuple(from_base64(item, f"$.{name}[{i}]", limit=MAX_BLOB) for i, item in enumerate(found))

    def word(self, name: str, default: str | None = None) -> str:
        """Return a string; ``default`` where it is missing."""
        if default is not None and not self.has(name):
            return default
        return text(self._value(name), f"$.{name}")

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer; ``default`` where it is missing."""
        if default is not None and not self.has(name):
            return default
        return integer(self._value(name), f"$.{name}")

    def now(self) -> datetime:
        """Return the instant at which everything is judged."""
        return instant(self._value("now"), "$.now")

    def part(self, name: str) -> Request:
        """Return an object inside; a missing one is empty."""
        value = self.fields[name] if self.has(name) else {}
        if not isinstance(value, dict):
            raise EvidenceError(f"$.{name}", "not an object")
        return Request(value)

    def parts(self, name: str) -> tuple[Request, ...]:
        """Return a list of objects."""
        found = items(self._value(name), f"$.{name}", limit=64)
        if not all(isinstance(item, dict) for item in found):
            raise EvidenceError(f"$.{name}", "not a list of objects")
        return tuple(Request(item) for item in found)

    def _value(self, name: str) -> Any:
        if not self.has(name):
            raise EvidenceError(f"$.{name}", "missing")
        return self.fields[name]


Stage = Callable[[Request, Ledger], dict[str, Any]]
"""Judges a request; records its checks in the ledger, returns facts, raises AttestationError for a refusal."""
