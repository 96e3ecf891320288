"""A stage's request: the fields that it takes, read strictly. Bytes are base64, instants are 2026-01-31T12:00:00Z."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from client_sdk.encoding import from_base64, from_hex, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import instant, integer, items, text
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.report import Ledger
from client_sdk.vendor import vendor_roots

MAX_BLOB = 16 * 1024 * 1024
MAX_REQUEST = 64 * 1024 * 1024
MAX_LISTED = 4096
MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Request:
    """The JSON object on standard input, or one inside it at ``where``; every accessor names the field in its error."""

    fields: Mapping[str, Any]
    where: str = "$"

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
        """Refuse a field that is not known here; ``now`` may stand in each request, used or not."""
        unknown = sorted(self.fields.keys() - {*known, *(("now",) if self.where == "$" else ())})
        if unknown:
            names = ", ".join(sorted(known))
            raise EvidenceError(self.where, f"unknown field {unknown[0][:64]!r}; this stage takes {names}")

    def has(self, name: str) -> bool:
        """Tell whether a field is there and is not null."""
        return self.fields.get(name) is not None

    def blob(self, name: str) -> bytes:
        """Return the bytes of a field."""
        return from_base64(self._value(name), self.place(name), limit=MAX_BLOB)

    def blobs(self, name: str) -> tuple[bytes, ...]:
        """Return a list of byte strings; a missing field is an empty list."""
        if not self.has(name):
            return ()
        found = items(self.fields[name], self.place(name), limit=64)
        return tuple(from_base64(item, f"{self.place(name)}[{i}]", limit=MAX_BLOB) for i, item in enumerate(found))

    def certificates(self, name: str) -> tuple[bytes, ...]:
        """Return a list of certificates as DER; each item is one in DER form, or a bundle of them in PEM form."""
        blobs = enumerate(self.blobs(name))
        return tuple([der for i, blob in blobs for der in parse_pem_or_der(blob, f"{self.place(name)}[{i}]")])

    def anchors(self, vendor: str, *uses: str, name: str = "roots") -> tuple[CertificateFields, ...]:
        """Return the roots to pin; those of a vendor that ship with the client where the field is missing.

        Raises:
            EvidenceError: one is no certificate, or the list is empty: that would pin nothing.
        """
        if not self.has(name):
            return tuple(root for use in uses for root in vendor_roots(vendor, use))
        if not (found := self.certificates(name)):
            raise EvidenceError(self.place(name), "an empty list; leave it out for the roots that ship with the client")
        return tuple(parse_certificate(der, f"{self.place(name)}[{i}]") for i, der in enumerate(found))

    def hexadecimal(self, name: str, *, size: int | None = None) -> bytes:
        """Return bytes that are given in hex, as many as ``size`` says."""
        return from_hex(self._value(name), self.place(name), size=size)

    def hex_list(self, name: str, *, size: int | None = None) -> tuple[bytes, ...]:
        """Return a list of such bytes; a missing field is an empty list."""
        found = items(self.fields[name], self.place(name), limit=MAX_LISTED) if self.has(name) else []
        return tuple(from_hex(item, f"{self.place(name)}[{i}]", size=size) for i, item in enumerate(found))

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false; ``default`` where it is missing."""
        value = self.fields[name] if self.has(name) else default
        if not isinstance(value, bool):
            raise EvidenceError(self.place(name), "neither true nor false")
        return value

    def days(self, name: str, default: int) -> timedelta:
        """Return a span of whole days, at most a century; ``default`` where it is missing."""
        return timedelta(days=integer(self.number(name, default), self.place(name), high=MAX_DAYS))

    def word(self, name: str, default: str | None = None) -> str:
        """Return a string; ``default`` where it is missing."""
        if default is not None and not self.has(name):
            return default
        return text(self._value(name), self.place(name))

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer; ``default`` where it is missing."""
        if default is not None and not self.has(name):
            return default
        return integer(self._value(name), self.place(name))

    def now(self) -> datetime:
        """Return the instant at which everything is judged."""
        return instant(self._value("now"), self.place("now"))

    def part(self, name: str) -> Request:
        """Return an object inside; a missing one is empty."""
        value = self.fields[name] if self.has(name) else {}
        if not isinstance(value, dict):
            raise EvidenceError(self.place(name), "not an object")
        return Request(value, self.place(name))

    def parts(self, name: str) -> tuple[Request, ...]:
        """Return a list of objects."""
        found = items(self._value(name), self.place(name), limit=64)
        if not all(isinstance(item, dict) for item in found):
            raise EvidenceError(self.place(name), "not a list of objects")
        return tuple(Request(item, f"{self.place(name)}[{i}]") for i, item in enumerate(found))

    def place(self, name: str) -> str:
        """Return the path of a field, for errors."""
        return f"{self.where}.{name}"

    def _value(self, name: str) -> Any:
        if not self.has(name):
            raise EvidenceError(self.place(name), "missing")
        return self.fields[name]


Stage = Callable[[Request, Ledger], dict[str, Any]]
"""Judges a request; records its checks in the ledger, returns facts, raises AttestationError for a refusal."""
