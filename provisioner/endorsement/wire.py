"""The wire format of protocol buffers, read in one way only (protobuf.dev, "Encoding").

Stricter than the format: a number has its shortest form, a field that is not repeated stands once, and numbers are not
cut down to the field's size. Groups and unknown wire types are refused. A field that the schema does not have is
stepped over and told, since schemas grow: whoever needs an exact message refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from client_sdk.errors import EvidenceError
from client_sdk.parse.reader import Reader

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_MAX_NUMBER = (1 << 64) - 1
_MAX_TAG = (1 << 29) - 1
MAX_REPEATED = 1024


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema. ``limit`` is the greatest value of a ``VARINT``, the most bytes of ``BYTES``."""

    name: str
    kind: int
    limit: int
    repeated: bool = False


Schema = Mapping[int, Field]


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``unread`` are the numbers of fields that the schema does not have."""

    where: str
    numbers: Mapping[str, int]
    parts: Mapping[str, tuple[bytes, ...]]
    unread: tuple[int, ...]

    def number(self, name: str) -> int:
        """Return a number; one that is not there is 0, as the format has it."""
        return self.numbers.get(name, 0)

    def part(self, name: str) -> bytes:
        """Return bytes that stand once; what is not there is empty, as the format has it."""
        return self.parts.get(name, (b"",))[0]

    def sized(self, name: str, *sizes: int) -> bytes:
        """Return bytes of one of these sizes.

        Raises:
            EvidenceError: they have another.
        """
        data = self.part(name)
        if len(data) not in sizes:
            raise EvidenceError(f"{self.where}.{name}", f"expected {_either(sizes)} bytes, got {len(data)}")
        return data


def parse_message(data: bytes, schema: Schema, where: str) -> Message:
    """Read a message to its last byte.

    Raises:
        EvidenceError: with the message's path and the offset in it.
    """
    reader = Reader(data, where)
    numbers: dict[str, int] = {}
    parts: dict[str, list[bytes]] = {}
    unread: set[int] = set()
    while (start := reader.offset) < len(data):
        number, kind = _tag(reader)
        field = schema.get(number)
        if field is None:
            _step_over(reader, kind, start)
            unread.add(number)
        elif kind != field.kind:
            raise reader.error(start, f"{field.name} has wire type {kind} in place of {field.kind}")
        elif kind == VARINT:
            if field.name in numbers:
                raise reader.error(start, f"{field.name} stands twice")
            numbers[field.name] = _number(reader, field)
        else:
            found = parts.setdefault(field.name, [])
            if len(found) >= (MAX_REPEATED if field.repeated else 1):
                raise reader.error(start, f"{field.name} stands more than {len(found)} times")
            found.append(_part(reader, field.name, field.limit))
    kept = {name: tuple(found) for name, found in parts.items()}
    return Message(where, numbers, kept, tuple(sorted(unread)))


def _tag(reader: Reader) -> tuple[int, int]:
    start = reader.offset
    tag = _varint(reader)
    number, kind = tag >> 3, tag & 7
    if not 1 <= number <= _MAX_TAG:
        raise reader.error(start, f"field number {number} cannot be")
    return number, kind


def _number(reader: Reader, field: Field) -> int:
    start = reader.offset
    value = _varint(reader)
    if value > field.limit:
        raise reader.error(start, f"{field.name} is {value}, over the limit of {field.limit}")
    return value


def _part(reader: Reader, name: str, limit: int) -> bytes:
    start = reader.offset
    size = _varint(reader)
    if size > limit:
        raise reader.error(start, f"{name} of {size} bytes is over the limit of {limit}")
    return reader.take(size)


def _step_over(reader: Reader, kind: int, start: int) -> None:
    if kind == VARINT:
        _varint(reader)
    elif kind == BYTES:
        reader.take(_varint(reader))
    elif kind in _FIXED:
        reader.take(_FIXED[kind])
    else:
        raise reader.error(start, f"wire type {kind} is not known")


def _varint(reader: Reader) -> int:
    """Read a number of at most 64 bits: seven bits a byte, the lowest first, the last byte below 128."""
    start, value = reader.offset, 0
    for shift in range(0, 70, 7):
        (byte,) = reader.take(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise reader.error(start, "a number that is not in its shortest form")
            if value > _MAX_NUMBER:
                raise reader.error(start, "a number of more than 64 bits")
            return value
    raise reader.error(start, "a number of more than 10 bytes")


def _either(sizes: tuple[int, ...]) -> str:
    return " or ".join(map(str, sizes))
