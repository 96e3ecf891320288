"""Proofs of inclusion and consistency against the definitions of RFC 6962, and everything near them refused."""

from __future__ import annotations

import hashlib

import pytest

from client_sdk.errors import AttestationError, EvidenceError, VerificationError
from client_sdk.transparency.formats.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from tests.transparency import second_reader
from tests.transparency.second_reader import growth, mth, path

ENTRIES = [b"entry %d" % i for i in range(33)]
OTHER = hashlib.sha256(b"other").digest()
# The tree over these eight entries is the one that implementations of RFC 6962 try themselves with.
EIGHT = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")]
EIGHT += [bytes(range(0x50, 0x58)), bytes(range(0x60, 0x70))]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def refused(call, *values):
    with pytest.raises(AttestationError) as caught:
        call(*values)
    return caught.value


@pytest.mark.parametrize("size", ROOTS)
def test_the_known_roots(size):
    assert mth(EIGHT[:size]).hex() == ROOTS[size]
    verify_inclusion(leaf_hash(EIGHT[0]), 0, size, path(0, EIGHT[:size]), bytes.fromhex(ROOTS[size]))


def test_hashes_are_apart():
    """A leaf whose bytes are two hashes is no node over them."""
    assert leaf_hash(b"\x01" + OTHER * 2) != node_hash(OTHER, OTHER) != leaf_hash(OTHER * 2)
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 34))
def test_every_leaf_of_every_small_tree(size):
    entries, root = ENTRIES[:size], mth(ENTRIES[:size])
    for index in range(size):
        hashes = path(index, entries)
        verify_inclusion(leaf_hash(entries[index]), index, size, hashes, root)
        assert second_reader.root_of(entries[index], index, size, hashes) == root


@pytest.mark.parametrize("size", range(1, 34))
def test_every_growth_of_every_small_tree(size):
    for old in range(1, size + 1):
        verify_consistency(old, mth(ENTRIES[:old]), size, mth(ENTRIES[:size]), growth(old, ENTRIES[:size]))
    verify_consistency(0, EMPTY_ROOT, size, mth(ENTRIES[:size]), [])


INCLUSION = {
    "another entry": lambda v: v | {"leaf": leaf_hash(b"never logged")},
    "the entry without its prefix": lambda v: v | {"leaf": hashlib.sha256(ENTRIES[6]).digest()},
    "another index": lambda v: v | {"index": 5},
    "an index past the end": lambda v: v | {"index": 13},
    "an index below zero": lambda v: v | {"index": -1},
    "a size at which it is the last": lambda v: v | {"size": 7},
    "a size of another height": lambda v: v | {"size": 130},
    "a tree of one": lambda v: v | {"index": 0, "size": 1},
    "an empty tree": lambda v: v | {"index": 0, "size": 0},
    "another root": lambda v: v | {"root": OTHER},
    "a hash changed": lambda v: v | {"proof": [OTHER, *v["proof"][1:]]},
    "a hash left out": lambda v: v | {"proof": v["proof"][:-1]},
    "a hash added": lambda v: v | {"proof": [*v["proof"], OTHER]},
    "hashes swapped": lambda v: v | {"proof": v["proof"][::-1]},
    "no hashes": lambda v: v | {"proof": []},
}


@pytest.mark.parametrize("attack", INCLUSION)
def test_an_inclusion_proof_with(attack):
    entries = ENTRIES[:13]
    right = {"leaf": leaf_hash(ENTRIES[6]), "index": 6, "size": 13, "proof": path(6, entries), "root": mth(entries)}
    verify_inclusion(*right.values())
    error = refused(verify_inclusion, *INCLUSION[attack](right).values())
    assert isinstance(error, VerificationError), error
    assert error.rule == "R2.inclusion"


CONSISTENCY = {
    "an entry changed in the past": lambda v: (
        v | {"new_root": mth([b"forged", *ENTRIES[1:13]]), "proof": growth(6, [b"forged", *ENTRIES[1:13]])}
    ),
    "an entry left out": lambda v: v | {"new_root": mth(ENTRIES[1:14]), "proof": growth(6, ENTRIES[1:14])},
    "another old root": lambda v: v | {"old_root": OTHER},
    "another new root": lambda v: v | {"new_root": OTHER},
    "the sizes swapped": lambda v: v | {"old_size": 13, "new_size": 6},
    "another old size": lambda v: v | {"old_size": 5},
    "the same size": lambda v: v | {"old_size": 13, "proof": []},
    "the same size and hashes": lambda v: v | {"old_size": 13, "old_root": v["new_root"]},
    "an empty tree with hashes": lambda v: v | {"old_size": 0, "old_root": EMPTY_ROOT},
    "an empty tree with a root": lambda v: v | {"old_size": 0, "proof": []},
    "no hashes": lambda v: v | {"proof": []},
    "no hashes, from a power of two": lambda v: v | {"old_size": 8, "old_root": mth(ENTRIES[:8]), "proof": []},
    "a hash left out": lambda v: v | {"proof": v["proof"][:-1]},
    "a hash added": lambda v: v | {"proof": [*v["proof"], OTHER]},
    "a hash changed": lambda v: v | {"proof": [v["proof"][0], OTHER, *v["proof"][2:]]},
}


@pytest.mark.parametrize("attack", CONSISTENCY)
def test_a_consistency_proof_with(attack):
    new = ENTRIES[:13]
    right = {"old_size": 6, "old_root": mth(ENTRIES[:6]), "new_size": 13, "new_root": mth(new), "proof": growth(6, new)}
    verify_consistency(*right.values())
    error = refused(verify_consistency, *CONSISTENCY[attack](right).values())
    assert isinstance(error, VerificationError), error
    assert error.rule == "R3.consistency"


LEAF = leaf_hash(ENTRIES[0])


@pytest.mark.parametrize(
    ("index", "size", "proof", "root"),
    [
        (1, 1, [], LEAF),
        (5, 1, [], LEAF),
        (-1, 1, [], LEAF),
        (0, 0, [], LEAF),
        (0, 1, [OTHER], node_hash(OTHER, LEAF)),
        (1, 2, [OTHER, OTHER], node_hash(OTHER, node_hash(OTHER, LEAF))),
    ],
)
def test_a_proof_whose_hashes_fit_and_whose_place_does_not(index, size, proof, root):
    """The hashes alone would lead to the root: that there is no such place has to be seen."""
    assert refused(verify_inclusion, LEAF, index, size, proof, root).rule == "R2.inclusion"


@pytest.mark.parametrize(
    ("old", "new", "proof"), [(2, 1, []), (1, 0, []), (4, 2, []), (-1, 1, [OTHER]), (0, 1, [OTHER]), (3, 2, [OTHER])]
)
def test_growth_whose_hashes_fit_and_whose_sizes_do_not(old, new, proof):
    assert refused(verify_consistency, old, OTHER, new, OTHER, proof).rule == "R3.consistency"


@pytest.mark.parametrize("proof", [[b"short"], [OTHER] * 65])
def test_what_is_no_proof_at_all(proof):
    assert isinstance(refused(verify_inclusion, OTHER, 0, 2, proof, OTHER), EvidenceError)
    assert isinstance(refused(verify_consistency, 1, OTHER, 2, OTHER, proof), EvidenceError)
