"""Binding values, with all intermediate values (protocol.md, "Binding"; rules C2, T1, G2)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256, sha512

import pytest

from client_sdk import binding
from client_sdk.binding import Place, extra_data, merkle_root, merkle_tree
from client_sdk.errors import EvidenceError

NONCES = tuple(bytes([i]) * 32 for i in range(7))


def test_vector_of_one_nonce():
    root, (place,) = merkle_tree(NONCES[:1])
    assert place == Place(0, 1, ())
    assert root == sha256(b"\x00" + bytes(32)).digest()
    assert root.hex() == "7f9c9e31ac8256ca2f258583df262dbc7d6f68f2a03043d5c99a4ae5a7396ce9"
    message = b"vitrine/quote/v1" + b"\0\0\0\x20" + root + b"\0\0\0\x01" + b"\0\0\0\x20" + b"\x11" * 32 + b"\0\0\0\0"
    assert extra_data(root, 1, b"\x11" * 32, b"") == sha256(message).digest()


def test_vector_of_seven_nonces_follows_rfc_9162():
    def leaf(i):
        return sha256(b"\x00" + NONCES[i]).digest()

    def node(left, right):
        return sha256(b"\x01" + left + right).digest()

    left = node(node(leaf(0), leaf(1)), node(leaf(2), leaf(3)))
    right = node(node(leaf(4), leaf(5)), leaf(6))
    root, places = merkle_tree(NONCES)
    assert root == node(left, right)
    assert places[6].path == (node(leaf(4), leaf(5)), left)
    assert places[2].path == (leaf(3), node(leaf(0), leaf(1)), right)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 31, 33, 1000, 4096])
def test_every_nonce_finds_the_root(size):
    nonces = tuple(sha256(i.to_bytes(4, "big")).digest() for i in range(size))
    root, places = merkle_tree(nonces)
    assert all(merkle_root(nonce, place) == root for nonce, place in zip(nonces, places, strict=True))


@pytest.mark.parametrize("index", range(7))
def test_another_nonce_another_place_or_another_path_gives_another_root(index):
    root, places = merkle_tree(NONCES)
    place = places[index]
    flipped = (bytes([place.path[0][0] ^ 1]) + place.path[0][1:], *place.path[1:])
    assert merkle_root(b"\xee" * 32, place) != root
    assert merkle_root(NONCES[index], replace(place, path=flipped)) != root


@pytest.mark.parametrize(
    ("attack", "place", "field"),
    [
        ("index outside the tree", Place(1, 1, ()), "quote.index"),
        ("negative index", Place(-1, 1, ()), "quote.index"),
        ("empty tree", Place(0, 0, ()), "quote.tree_size"),
        ("tree over the limit", Place(0, 4097, (bytes(32),) * 13), "quote.tree_size"),
        ("path too long", Place(0, 1, (bytes(32),)), "quote.path"),
        ("path too short", Place(0, 2, ()), "quote.path"),
        ("path of the other side's length", Place(6, 7, (bytes(32),) * 3), "quote.path"),
    ],
)
def test_a_place_that_cannot_be_is_refused(attack, place, field):
    with pytest.raises(EvidenceError, match=field):
        merkle_root(NONCES[0], place)


def test_an_inner_node_never_passes_for_a_nonce():
    root, _ = merkle_tree(NONCES[:2])
    leaves = b"".join(binding.leaf_hash(nonce) for nonce in NONCES[:2])
    with pytest.raises(EvidenceError, match="nonce"):
        merkle_root(leaves, Place(0, 1, ()))
    assert root == sha256(b"\x01" + leaves).digest()


@pytest.mark.parametrize("count", [0, 4097])
def test_too_few_or_too_many_nonces(count):
    with pytest.raises(EvidenceError, match="1 to 4096"):
        merkle_tree((bytes(32),) * count)


def test_extra_data_commits_to_every_part():
    base = (b"\x01" * 32, 1, b"\x02" * 32, b"\x03" * 32)
    others = [(b"\x09" * 32, *base[1:]), (base[0], 2, *base[2:]), (*base[:2], b"\x09" * 32, base[3]), (*base[:3], b"")]
    assert len({extra_data(*values) for values in [base, *others]}) == 5


def test_report_data_and_gpu_nonce_vectors():
    def lp(data):
        return len(data).to_bytes(4, "big") + data

    name, spki, gpu, pcr = b"\x00\x0b" + b"\x05" * 32, b"\x06" * 32, b"\x07" * 32, b"\x08" * 32
    message = b"vitrine/report-data/v1" + lp(name) + lp(spki) + lp(gpu) + lp(pcr)
    assert binding.report_data(name, spki, gpu, pcr) == sha512(message).digest()
    assert binding.gpu_nonce(name, spki) == sha256(b"vitrine/gpu/v1" + lp(name) + lp(spki)).digest()


def test_runtime_digest_keeps_type_and_data_apart():
    assert binding.runtime_digest("gpu", b"none") == sha256(b"gpu\x00none").digest()
