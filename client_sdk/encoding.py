"""Strict text encodings: JSON, hex, base64 and length prefixes (rules F1, F2, F3).

Nothing here decides trust; everything here raises :class:`EvidenceError` on the first byte that has two readings.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from client_sdk.errors import EvidenceError

# One that never ends is taken to the end of the text: else each quote in it would be tried as a beginning.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
MAX_JSON = 4 * 1024 * 1024
MAX_DEPTH = 16
MAX_VALUES = 64 * 1024
MAX_INTEGER_DIGITS = 20


def lp(data: bytes) -> bytes:
    """Prefix with the length as u32, big-endian (protocol.md, "Encodings")."""
    return len(data).to_bytes(4, "big") + data


def canonical_json(value: Any) -> bytes:
    """Serialise as the one JSON text that our formats allow: sorted keys, no spaces, UTF-8, no floats."""
    _refuse_floats(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def strict_json(data: bytes, *, limit: int = MAX_JSON) -> Any:
    """Parse JSON that has one reading: UTF-8, no BOM, no duplicate keys, no floats, bounded size and depth.

    Raises:
        EvidenceError: on anything else.
    """
    if len(data) > limit:
        raise EvidenceError("$", f"JSON of {len(data)} bytes is over the limit of {limit}")
    if sum(map(data.count, (b",", b"{", b"["))) > MAX_VALUES:  # each becomes an object of many times its size
        raise EvidenceError("$", f"JSON of more than {MAX_VALUES} values")
    _refuse_deep(data)
    try:
        text = data.decode("utf-8")
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_bounded_int,
        )
    except UnicodeDecodeError as error:
        raise EvidenceError(f"byte {error.start}", "JSON is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise EvidenceError(f"character {error.pos}", f"not JSON: {error.msg}") from error


def from_hex(text: Any, where: str, *, size: int | None = None) -> bytes:
    """Decode lower-case hex of an exact size in bytes."""
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise EvidenceError(where, "not lower-case hex")
    data = bytes.fromhex(text)
    if size is not None and len(data) != size:
        raise EvidenceError(where, f"expected {size} bytes of hex, got {len(data)}")
    return data


def to_base64(data: bytes) -> str:
    """Encode as standard, padded base64."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: Any, where: str, *, limit: int = MAX_JSON) -> bytes:
    """Decode standard, padded, canonical base64: the one text that :func:`to_base64` gives for these bytes."""
    if not isinstance(text, str) or len(text) > limit * 4 // 3 + 4:
        raise EvidenceError(where, "not a base64 string of a sane size")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise EvidenceError(where, "not base64") from error
    if len(data) > limit:
        raise EvidenceError(where, f"{len(data)} bytes are over the limit of {limit}")
    if to_base64(data) != text:
        raise EvidenceError(where, "base64 is not canonical")
    return data


def outside_strings(data: bytes) -> bytes:
    """Return a JSON text without its strings: what is left is its structure, numbers and words."""
    return _STRING.sub(b"", data)


def _refuse_deep(data: bytes) -> None:
    """Bound the nesting before the recursive parser sees it; an unterminated string is the parser's to refuse."""
    depth = 0
    for bracket in _BRACKET.findall(outside_strings(data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise EvidenceError("$", f"JSON is nested deeper than {MAX_DEPTH}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise EvidenceError(f"$.{duplicate[:64]}", "the key appears twice")
    return found


def _no_float(text: str) -> NoReturn:
    raise EvidenceError("$", f"floating-point number {text[:32]} is not allowed")


def _bounded_int(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise EvidenceError("$", f"integer of {len(text)} digits is over the limit of {MAX_INTEGER_DIGITS}")
    return int(text)


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise EvidenceError(where, "floating-point numbers are not allowed")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_floats(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{where}[{index}]")
