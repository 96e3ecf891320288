"""A tree of RFC 6962 in tiles: its root and proofs read from them, and how it grows.

Source: RFC 6962, sections 2.1 (hashes), 2.1.1 (inclusion) and 2.1.2 (consistency); C2SP tlog-tiles, "Merkle Tree".

What reads tiles believes them here: a proof that was made of false tiles is false, and whoever verifies it sees that
(``merkle``). Nothing is kept but the right edge of the tree, so a tree may be as large as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from client_sdk.transparency.formats.merkle import EMPTY_ROOT, node_hash
from client_sdk.transparency.formats.tiles import WIDTH, Tile, at, rightmost

_LEVELS = 8  # of the binary tree, in a tile
Tiles = Callable[[Tile], Sequence[bytes]]
"""Gives the hashes of a tile."""


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over hashes that stand side by side; the last may be of a smaller tree than the others."""
    row = list(hashes)
    while len(row) > 1:
        last = [row[-1]] if len(row) % 2 else []
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=False)] + last
    return row[0]


def root_of(size: int, tiles: Tiles) -> bytes:
    """Return the root of the tree of this size, from its partial tiles alone."""
    edge = [tiles(tile) for tile in rightmost(size)]
    return _over(edge)


def inclusion(index: int, size: int, tiles: Tiles) -> tuple[bytes, ...]:
    """Make the proof that a leaf is in the tree of this size (RFC 6962, section 2.1.1): its sibling first.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of {size}")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _half(high - low)
        if index < middle:
            path.append(_range(middle, high, size, tiles))
            high = middle
        else:
            path.append(_range(low, middle, size, tiles))
            low = middle
    return tuple(reversed(path))


def consistency(old: int, size: int, tiles: Tiles) -> tuple[bytes, ...]:
    """Make the proof that the tree of an old size begins the one of this size (RFC 6962, section 2.1.2).

    It is empty where there is nothing to prove: from the empty tree, or from the tree itself.

    Raises:
        ValueError: the old size is the larger one.
    """
    if not 0 <= old <= size:
        raise ValueError(f"size {old} before {size}")
    if old in (0, size):
        return ()
    low, high, path = 0, size, []
    while high != old:
        middle = low + _half(high - low)
        if old <= middle:
            path.append(_range(middle, high, size, tiles))
            high = middle
        else:
            path.append(_range(low, middle, size, tiles))
            low = middle
    if low:
        path.append(_range(low, high, size, tiles))
    return tuple(reversed(path))


class Growing:
    """A tree that grows by leaves; ``keep`` gets every tile as it becomes full, and the partial ones at the end.

    It starts empty, or with the hashes of the partial tiles of a tree of ``size`` (``tiles`` gives them).
    """

    def __init__(self, keep: Callable[[Tile, bytes], object], size: int = 0, tiles: Tiles | None = None) -> None:
        self._keep, self.size = keep, size
        self._edge: list[list[bytes]] = [[] for _ in range(_height(size))]
        if tiles is not None:
            for tile in rightmost(size):
                self._edge[tile.level] = list(tiles(tile))

    @property
    def root(self) -> bytes:
        """The root of the tree so far."""
        return _over(self._edge)

    def add(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        self.size += 1
        self._push(0, leaf)

    def finish(self) -> bytes:
        """Hand out the partial tiles and return the root; the tree may go on to grow."""
        for tile in rightmost(self.size):
            self._keep(tile, b"".join(self._edge[tile.level]))
        return self.root

    def _push(self, level: int, found: bytes) -> None:
        if level == len(self._edge):
            self._edge.append([])
        row = self._edge[level]
        row.append(found)
        if len(row) == WIDTH:
            index = (self.size >> (_LEVELS * (level + 1))) - 1
            self._keep(Tile(level, index), b"".join(row))
            self._edge[level] = []
            self._push(level + 1, fold(row))


def _over(edge: Sequence[Sequence[bytes]]) -> bytes:
    """Return the root over partial tiles, the lowest first: each stands to the left of what is below it."""
    below: list[bytes] = []
    for row in edge:
        if row or below:
            below = [fold([*row, *below])]
    return below[0] if below else EMPTY_ROOT


def _range(low: int, high: int, size: int, tiles: Tiles) -> bytes:
    """Return the hash over a range of leaves, as the recursion of RFC 6962 meets it."""
    count = high - low
    if count & (count - 1) == 0 and low % count == 0:
        return _node(count.bit_length() - 1, low, size, tiles)
    middle = low + _half(count)
    return node_hash(_range(low, middle, size, tiles), _range(middle, high, size, tiles))


def _node(height: int, low: int, size: int, tiles: Tiles) -> bytes:
    """Return the hash of a full subtree that begins at a leaf: its hashes in the highest tile that has them."""
    level, rest = divmod(height, _LEVELS)
    index, offset = divmod(low >> (_LEVELS * level), WIDTH)
    hashes = tiles(at(level, index, size))
    return fold(hashes[offset : offset + (1 << rest)])


def _half(count: int) -> int:
    """Return the largest power of two that is smaller."""
    return 1 << ((count - 1).bit_length() - 1)


def _height(size: int) -> int:
    """Return how many levels of tiles a tree of this size has."""
    return -(-size.bit_length() // _LEVELS)
