"""The second reader, for the files of a log: written from C2SP tlog-tiles alone, sharing no code with the client.

What is not as the document says ends in an assertion: it is for tests, and not for anything that others send.
"""

from __future__ import annotations

import struct

from tests.transparency.second_reader import leaf, node


def tile_path(level, index, width=256):
    """tlog-tiles, "Merkle Tree" and "Partial Tiles"."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    path = "/".join(["x" + group for group in groups[:-1]] + [groups[-1]])
    return f"tile/{level}/{path}" + (f".p/{width}" if width < 256 else "")


def whole_log(folder, size):
    """Return the entries of a log after comparing every tile that a tree of the size has, and the root."""
    entries = []
    for start in range(0, size, 256):
        data = (folder / tile_path("entries", start // 256, min(256, size - start))).read_bytes()
        for _ in range(min(256, size - start)):
            (length,) = struct.unpack(">H", data[:2])
            entries.append(data[2 : 2 + length])
            assert len(entries[-1]) == length
            data = data[2 + length :]
        assert data == b""
    leaves = [leaf(entry) for entry in entries]
    level = 0
    while count := size // 256**level:
        span = 256**level
        hashes = [_mth(leaves[i * span : (i + 1) * span]) for i in range(count)]
        for start in range(0, count, 256):
            row = hashes[start : start + 256]
            assert (folder / tile_path(level, start // 256, len(row))).read_bytes() == b"".join(row)
        level += 1
    return entries, _mth(leaves)


def _mth(leaves):
    """RFC 6962, section 2.1, over hashes of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node(_mth(leaves[:k]), _mth(leaves[k:]))
