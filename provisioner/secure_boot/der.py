"""The few kinds of DER that a signature is made of (X.690); everything here only writes."""

from __future__ import annotations


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return _tagged(0x30, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """Return a SET OF, its members in the order that DER wants."""
    return _tagged(0x31, b"".join(sorted(parts)))


def octets(data: bytes) -> bytes:
    """Return an OCTET STRING."""
    return _tagged(0x04, data)


def null() -> bytes:
    """Return NULL."""
    return _tagged(0x05, b"")


def integer(value: int) -> bytes:
    """Return an INTEGER that is not negative."""
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def object_id(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = (int(number) for number in dotted.split("."))
    return _tagged(0x06, b"".join(_base128(number) for number in (40 * first + second, *rest)))


def explicit(number: int, content: bytes) -> bytes:
    """Return content under an explicit context tag."""
    return _tagged(0xA0 | number, content)


def implicit(number: int, constructed: bytes) -> bytes:
    """Return a constructed value whose own tag is replaced by a context tag."""
    return bytes([0xA0 | number]) + constructed[1:]


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
