"""LZ4 blocks, as erofs compresses files with them (lz4_Block_format.md of the LZ4 project)."""

from __future__ import annotations

from provisioner.errors import BakeError

_LEAST_MATCH = 4
_MORE = 15


def decompress(data: bytes, size: int) -> bytes:
    """Return the first ``size`` bytes of a block; what follows the last sequence that is needed is not looked at.

    Raises:
        BakeError: the block is cut short, or refers to what was never written.
    """
    made, at = bytearray(), 0
    try:
        while len(made) < size:
            token = data[at]
            count, at = _length(data, at + 1, token >> 4)
            if at + count > len(data):
                raise BakeError("LZ4: literals beyond the end of the block")
            made += data[at : at + count]
            at += count
            if len(made) >= size:
                break
            distance = int.from_bytes(data[at : at + 2], "little")
            count, at = _length(data, at + 2, token & 15)
            _repeat(made, distance, min(count + _LEAST_MATCH, size - len(made)))
    except IndexError:
        raise BakeError("LZ4: the block is cut short") from None
    return bytes(made[:size])


def _length(data: bytes, at: int, nibble: int) -> tuple[int, int]:
    if nibble < _MORE:
        return nibble, at
    total, more = nibble, 255
    while more == 255:
        more = data[at]
        total, at = total + more, at + 1
    return total, at


def _repeat(made: bytearray, distance: int, count: int) -> None:
    start = len(made) - distance
    if not 0 < distance <= len(made):
        raise BakeError(f"LZ4: a match {distance} bytes back, where there are {len(made)}")
    if distance >= count:
        made += made[start : start + count]
        return
    pattern = bytes(made[start:])
    made += (pattern * (count // distance + 1))[:count]
