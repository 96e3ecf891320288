"""Trees in tiles, against the recursion of RFC 6962 written down as it stands there."""

from __future__ import annotations

from hashlib import sha256

import pytest

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.transparency.formats import tiles
from client_sdk.transparency.formats.merkle import verify_consistency, verify_inclusion
from client_sdk.transparency.formats.tiles import ENTRIES, MAX_ENTRY, Tile
from client_sdk.transparency.log import tree

SIZES = (1, 2, 3, 7, 8, 255, 256, 257, 300, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 70_000)


def plain_root(leaves):
    """MTH of RFC 6962, section 2.1, over hashes of leaves."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + plain_root(leaves[:k]) + plain_root(leaves[k:])).digest()


def grown(size, *, start=0, files=None):
    """Return the files of a tree; leaves are numbers."""
    files = {} if files is None else files
    growing = tree.Growing(files.__setitem__, start, reading(files) if start else None)
    for number in range(start, size):
        growing.add(leaf(number))
    return files, growing.finish()


def leaf(number):
    return sha256(b"\x00%d" % number).digest()


def reading(files):
    return lambda tile: tiles.split(files[tile], tile.path, width=tile.width)


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_that_of_the_recursion(size):
    files, root = grown(size)
    assert root == plain_root([leaf(number) for number in range(size)])
    assert tree.root_of(size, reading(files)) == root


@pytest.mark.parametrize("size", SIZES)
def test_the_tiles_are_those_that_the_specification_counts(size):
    """C2SP tlog-tiles, "Partial Tiles"."""
    files, _ = grown(size)
    wanted = set()
    for level in range(3):
        full, rest = divmod(size // 256**level, 256)
        wanted |= {Tile(level, index) for index in range(full)}
        wanted |= {Tile(level, full, rest)} if rest else set()
    assert set(files) == wanted


@pytest.mark.parametrize(("first", "second"), [(1, 2), (255, 256), (256, 257), (300, 600), (65_500, 66_000)])
def test_a_tree_that_grows_in_steps_is_the_same_tree(first, second):
    files, _ = grown(first)
    _, root = grown(second, start=first, files=files)
    whole, wanted = grown(second)
    assert root == wanted
    assert {tile: files[tile] for tile in whole} == whole


@pytest.mark.parametrize("size", [1, 2, 5, 8, 255, 256, 257, 600, 66_000])
def test_proofs_verify(size):
    files, root = grown(size)
    for index in {0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
        proof = tree.inclusion(index, size, reading(files))
        verify_inclusion(leaf(index), index, size, proof, root)
        assert len(proof) <= (size - 1).bit_length()
    for old in {1, 2, 3, size // 2, size - 1, size, 128, 256, 512} & set(range(1, size + 1)):
        _, old_root = grown(old)
        verify_consistency(old, old_root, size, root, tree.consistency(old, size, reading(files)))


def test_every_proof_of_every_small_tree():
    roots = [tree.EMPTY_ROOT]
    for size in range(1, 70):
        files, root = grown(size)
        roots.append(root)
        for index in range(size):
            verify_inclusion(leaf(index), index, size, tree.inclusion(index, size, reading(files)), root)
        for old in range(size + 1):
            verify_consistency(old, roots[old], size, root, tree.consistency(old, size, reading(files)))


def test_a_proof_of_a_changed_tile_does_not_verify():
    files, root = grown(300)
    files[Tile(0, 0)] = bytes(32) + files[Tile(0, 0)][32:]
    with pytest.raises(VerificationError, match=r"R2\.inclusion"):
        verify_inclusion(leaf(1), 1, 300, tree.inclusion(1, 300, reading(files)), root)


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_a_leaf_that_is_not_there(index):
    files, _ = grown(5)
    with pytest.raises(ValueError, match="of 5"):
        tree.inclusion(index, 5, reading(files))


def test_a_tree_does_not_shrink():
    files, _ = grown(5)
    with pytest.raises(ValueError, match="before"):
        tree.consistency(6, 5, reading(files))


def test_paths_are_those_of_the_specification():
    assert Tile(2, 1_234_067).path == "tile/2/x001/x234/067"
    assert Tile(0, 273, 112).path == "tile/0/273.p/112"
    assert Tile(ENTRIES, 0, 1).path == "tile/entries/000.p/1"


@pytest.mark.parametrize("path", ["tile/0/000", "tile/63/x001/000.p/255", "tile/entries/x001/x234/067.p/1"])
def test_paths_of_tiles(path):
    assert tiles.is_tile(path)


@pytest.mark.parametrize(
    "path",
    [
        "tile/64/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/001/000",
        "tile/0/../../log.key",
        "checkpoint",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/entries/x00a/000",
    ],
)
def test_what_is_no_tile(path):
    assert not tiles.is_tile(path)


def test_bundles_hold_what_was_packed():
    entries = (b"a", b"b" * MAX_ENTRY, b"\x00")
    assert tiles.unpack(tiles.pack(entries), "bundle", width=3) == entries


@pytest.mark.parametrize("entry", [b"", bytes(MAX_ENTRY + 1)])
def test_an_entry_that_no_bundle_holds(entry):
    with pytest.raises(EvidenceError, match="1 to 65535 bytes"):
        tiles.pack((entry,))


def test_more_entries_than_a_bundle_holds():
    with pytest.raises(EvidenceError, match="limit of 256"):
        tiles.pack((b"a",) * 257)


@pytest.mark.parametrize(
    ("data", "width", "says"),
    [
        (b"", 1, "cut short"),
        (b"\x00", 1, "cut short"),
        (b"\x00\x02a", 1, "cut short"),
        (b"\x00\x01a", 2, "cut short"),
        (b"\x00\x01ab", 1, "more than the 1 entries"),
        (b"\x00\x01a\x00\x01b", 1, "more than the 1 entries"),
    ],
)
def test_a_bundle_that_is_cut_or_too_long(data, width, says):
    with pytest.raises(EvidenceError, match=says):
        tiles.unpack(data, "bundle", width=width)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_tile_of_another_size(size):
    with pytest.raises(EvidenceError, match="expected 1 hashes"):
        tiles.split(bytes(size), "tile", width=1)
