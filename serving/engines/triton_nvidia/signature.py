"""What a kernel's arguments look like in memory: Triton's words for types, and how each is laid down.

A kernel's parameter is read by the driver from where a pointer points to. Each has eight bytes here, little-endian, of
which the driver reads as many as the kernel wants. It imports nothing of Triton and asks no GPU.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CONSTANT, POINTER, TENSOR_MAP = "constexpr", "*", "nvTmaDesc"
SLOT = 8
_DESCRIPTOR = re.compile(r"tensordesc<([^[>]*)\[([^]]*)\]")
_CODES = dict(zip(("i1", "i8", "i16", "i32", "i64"), "bbhiq", strict=True))
_CODES |= dict(zip(("u1", "u8", "u16", "u32", "u64"), "BBHIQ", strict=True))
_CODES |= dict(zip(("fp16", "bf16", "fp32", "f32", "fp64"), "eHffd", strict=True))
_CODES |= {POINTER: "Q", TENSOR_MAP: "Q"}


def expand(kinds: Sequence[Any], descriptors: Sequence[Mapping[str, Any] | None]) -> tuple[str, ...]:
    """Return the types of what is really handed over: tuples by element, a tensor's description by its parts.

    With a description that the GPU reads itself (``descriptors`` says so) that is a tensor map, shape and strides;
    else the address, shape and strides, whether what lies outside reads as not-a-number, and both once more.
    """
    waiting = iter(descriptors)
    found: list[str] = []
    for kind in kinds:
        if isinstance(kind, str) and kind.startswith("tensordesc"):
            found += _described(kind, next(waiting, None))
        else:
            found += flatten(kind)
    return tuple(POINTER if kind.startswith(POINTER) else kind for kind in found)


def flatten(value: Any) -> Iterator[Any]:
    """Yield the elements of tuples in tuples, in order."""
    if isinstance(value, tuple):
        for element in value:
            yield from flatten(element)
    else:
        yield value


def layout(kinds: Sequence[str]) -> struct.Struct:
    """Return how values of these types are laid down, each in a slot.

    Raises:
        KeyError: a type is not known.
    """
    codes = [_CODES[kind] for kind in kinds]
    return struct.Struct("<" + "".join(f"{code}{SLOT - struct.calcsize(code)}x" for code in codes))


def bfloat16(value: float) -> int:
    """Return the upper half of a number's 32 bits, as Triton cuts it."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0]) >> 16


def _described(kind: str, descriptor: Mapping[str, Any] | None) -> list[str]:
    match = _DESCRIPTOR.match(kind)
    if match is None:
        raise KeyError(kind)
    dimensions = match[2].count(",") + 1
    shown = ["i32"] * dimensions + ["i64"] * dimensions
    if descriptor is not None:
        return [TENSOR_MAP, *shown]
    return [POINTER, *["i64"] * (2 * dimensions), "i1", *shown]
