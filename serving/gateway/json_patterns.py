r"""Writing a regular expression anew for an engine that takes it for one of the JSON, not of the text that this means.

llama.cpp's ``.``, and a class with a quote, a backslash or a control character in it, may thus end the string before
its end, or make it no JSON. Here a part that fits such a character becomes two: the others, and these as in JSON.
Found by asking llama.cpp as well: it gives up the whole pattern at an escape that it does not know (``\d``, ``\/``),
and repeats too much (``ab\.*``) or half a character (``é*``); so what has an escape is written without. It does not
prove that an engine follows the rest: where the pattern has what is not read here, it is left as it was.
"""

from __future__ import annotations

import re
from typing import Any

from serving.errors import RequestError

_ESCAPE = r"\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|.)"
_CHARACTER = re.compile(rf"{_ESCAPE}|[^\\]", re.DOTALL)
_PART = re.compile(
    r"(?P<kept>\((?!\?)|\(\?:|[)|*+?]|\{\d*,?\d*\})|\."
    rf"|\[(?P<but>\^?)(?P<some>(?:\\.|[^\]\\])+)\]|(?P<one>{_ESCAPE}|[^\\^$\[\](){{}}|*+?.])|(?P<unread>.)",
    re.DOTALL,
)
_MANY = frozenset("*+?{")
_LAST = 0x10FFFF
Ranges = list[tuple[int, int]]

_DIGITS: Ranges = [(0x30, 0x39)]
_WORD: Ranges = [*_DIGITS, (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACE: Ranges = [(0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)]
_SPACE += [(0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)]
_CLASSES = {"d": _DIGITS, "s": _SPACE, "w": _WORD}  # ECMA-262, "CharacterClassEscape"
_CONTROLS = {"0": 0x00, "t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_MARKED: Ranges = [(0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C)]
"""What no string of JSON holds as it is (RFC 8259, section 7)."""
_MARKS = {0x22: r"\x22", 0x5C: r"\x5C", 0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r"}
"""What follows the backslash in JSON, as a class has it; other control characters are left out."""
_DATA = frozenset({"const", "default", "enum", "examples"})
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords of JSON Schema that hold no schema, and those that hold schemas by names of the caller's."""


class _UnreadError(Exception):
    """The pattern has a part that is not read here."""


def write_schema(schema: Any, name: str) -> Any:
    """Return a schema with its patterns written anew; what is data in it, or a property's name, stays.

    Raises:
        RequestError: a pattern cannot be written; the message names the field, never its content.
    """
    if isinstance(schema, list):
        return [write_schema(item, name) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _write_keyword(key, value, name) for key, value in schema.items()}


def _write_keyword(key: str, value: Any, name: str) -> Any:
    if key in _DATA:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {inner: write_schema(schema, name) for inner, schema in value.items()}
    if key != "pattern" or not isinstance(value, str):
        return write_schema(value, name)
    pattern = write_pattern(value)
    if pattern is None:
        message = f"A pattern in {name} wants a character that this server's engine does not write."
        raise RequestError("invalid_value", message, param=name)
    return pattern


def write_pattern(pattern: str) -> str | None:
    """Return a pattern of the JSON, within its quotes, of the texts that the pattern fits.

    Texts with control characters for which JSON has no letter are left out; None where it cannot do without.
    """
    if len(pattern) < 2 or pattern[0] != "^" or pattern[-1] != "$":
        return pattern
    inner = pattern[1:-1]
    try:
        parts = [_write(part, repeated=inner[part.end() : part.end() + 1] in _MANY) for part in _PART.finditer(inner)]
    except _UnreadError:
        return pattern
    return None if "" in parts else f"^{''.join(parts)}$"


def _write(part: re.Match[str], *, repeated: bool) -> str:
    """Write one part; nothing, where nothing of it is left."""
    text = part[0]
    if part["unread"]:
        raise _UnreadError
    if part["kept"] or text in _WRITTEN:
        return _WRITTEN.get(text, text)
    negated, ranges = bool(part["but"]), _read_some(part["some"]) if part["some"] else _read(part["one"])
    if _meets_marked(ranges, negated=negated):
        return _in_two(ranges, negated=negated)
    if "\\" in text or (repeated and part["one"] and not text.isascii()):
        return _class(ranges, negated=negated)
    return text


def _in_two(ranges: Ranges, *, negated: bool) -> str:
    """Write a class as what JSON holds as it is, and what it marks with a backslash."""
    plain = _class([*ranges, *_MARKED] if negated else _without_marked(ranges), negated=negated)
    letters = "".join(letter for point, letter in _MARKS.items() if _has(ranges, point) != negated)
    both = "|".join(filter(None, (plain, letters and rf"\\[{letters}]")))
    return both and f"({both})"


def _read(text: str) -> Ranges:
    """Return what one character, or one escape, stands for."""
    if text[0] != "\\":
        return [(ord(text), ord(text))]
    letter = text[1]
    if len(text) > 2:
        point = int.from_bytes(bytes.fromhex(text[2:]))
    elif letter in _CLASSES:
        return _CLASSES[letter]
    elif letter.isalnum() and letter not in _CONTROLS:
        raise _UnreadError
    else:
        point = _CONTROLS.get(letter, ord(letter))
    return [(point, point)]


def _read_some(text: str) -> Ranges:
    """Return what a class has between its brackets."""
    units = _CHARACTER.findall(text)
    found, at = Ranges(), 0
    while at < len(units):
        first, at = _read(units[at]), at + 1
        if units[at : at + 1] == ["-"] and at + 1 < len(units):
            last = _read(units[at + 1])
            if _single(first) and _single(last):
                first, at = [(first[0][0], last[0][1])], at + 2
        found += first
    return found


def _single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _has(ranges: Ranges, point: int) -> bool:
    return any(low <= point <= high for low, high in ranges)


def _meets_marked(ranges: Ranges, *, negated: bool) -> bool:
    if negated:
        return not all(_has(ranges, point) for low, high in _MARKED for point in range(low, high + 1))
    return any(low <= last and first <= high for low, high in ranges for first, last in _MARKED)


def _inverted(ranges: Ranges) -> Ranges:
    """Return all other characters; the ranges are sorted and apart."""
    lows, highs = [0, *(high + 1 for _, high in ranges)], [*(low - 1 for low, _ in ranges), _LAST]
    return [(low, high) for low, high in zip(lows, highs, strict=True) if low <= high]


def _without_marked(ranges: Ranges) -> Ranges:
    both = ((max(low, a), min(high, b)) for low, high in ranges for a, b in _inverted(_MARKED))
    return [(low, high) for low, high in both if low <= high]


def _class(ranges: Ranges, *, negated: bool) -> str:
    """Write a class; nothing, where it would be empty."""
    written = "".join(_point(low) if low == high else f"{_point(low)}-{_point(high)}" for low, high in ranges)
    return f"[{'^' if negated else ''}{written}]" if ranges else ""


def _point(point: int) -> str:
    if point < 0x80 and chr(point).isalnum():
        return chr(point)
    if point <= 0xFF:
        return f"\\x{point:02X}"
    return f"\\u{point:04X}" if point <= 0xFFFF else f"\\U{point:08X}"


_CLASSES |= {letter.upper(): _inverted(ranges) for letter, ranges in _CLASSES.items()}
_LINE_ENDS: Ranges = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)]  # ECMA-262, "LineTerminator"
_WRITTEN = {rf"\{letter}": _in_two(_CLASSES[letter], negated=False) for letter in "DSW"}
_WRITTEN["."] = _in_two(_LINE_ENDS, negated=True)
"""What is longest to write, written once."""
