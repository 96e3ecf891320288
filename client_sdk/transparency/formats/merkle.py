"""The Merkle tree of a log: hashes, and what proofs about it prove (rules R2, R3).

Source: RFC 6962, section 2.1 (hashes) and 2.1.1, 2.1.2 (proofs); RFC 9162, sections 2.1.3.2 and 2.1.4.2, say in steps
how the same proofs are verified, and those steps are followed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.report import Ledger
from client_sdk.rules import keeps

EMPTY_ROOT = sha256(b"").digest()
MAX_PROOF = 64
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two nodes."""
    return sha256(_NODE + left + right).digest()


@keeps("R2.inclusion")
def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes, *, ledger: Ledger | None = None
) -> None:
    """Check that the tree of this size and root has a leaf (its hash is given) at this index, from zero.

    Raises:
        VerificationError: R2.inclusion.
    """
    found = root_by(leaf, index, size, proof)
    (ledger or Ledger()).equal("R2.inclusion", "the log has this entry at this place", expected=root, got=found)


@keeps("R2.inclusion")
def root_by(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162, section 2.1.3.2).

    Raises:
        VerificationError: R2.inclusion, no tree of this size has such a proof at this index.
    """
    _require_hashes(proof)
    what = "the proof is one for this place in a tree of this size"
    if not 0 <= index < size:
        raise VerificationError("R2.inclusion", what, expected=f"an index below {size}", got=str(index))
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise VerificationError("R2.inclusion", what, expected="a proof of the tree's height", got="a longer one")
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise VerificationError("R2.inclusion", what, expected="a proof of the tree's height", got="a shorter one")
    return found


@keeps("R3.consistency")
def verify_consistency(
    old_size: int,
    old_root: bytes,
    new_size: int,
    new_root: bytes,
    proof: Sequence[bytes],
    *,
    ledger: Ledger | None = None,
) -> None:
    """Check that the newer tree begins with all that the older one has.

    Raises:
        VerificationError: R3.consistency.
    """
    _require_hashes(proof)
    what = "the log has only grown: its newer tree begins with the older one"
    if not 0 <= old_size <= new_size:
        expected = f"at least {old_size} entries"
        raise VerificationError("R3.consistency", what, expected=expected, got=str(new_size))
    if old_size in (0, new_size) and proof:
        raise VerificationError("R3.consistency", what, expected="no hashes", got=f"{len(proof)} hashes")
    if old_size == 0:
        found = (EMPTY_ROOT, new_root if new_size else EMPTY_ROOT)
    elif old_size == new_size:
        found = (old_root, old_root)
    else:
        found = _roots(old_size, new_size, proof, old_root)
    (ledger or Ledger()).equal("R3.consistency", what, expected=(old_root, new_root), got=found)


@keeps("R3.consistency")
def _roots(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """Return the roots of the older and of the newer tree that a proof leads to (RFC 9162, section 2.1.4.2)."""
    wrong = VerificationError(
        "R3.consistency",
        "the proof is one between trees of these sizes",
        expected=f"a proof from {old_size} to {new_size} entries",
        got=f"{len(proof)} hashes",
    )
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise wrong
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise wrong
        if at & 1 or at == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise wrong
    return older, newer


def _require_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > MAX_PROOF or any(len(item) != 32 for item in proof):
        raise EvidenceError("proof", f"expected at most {MAX_PROOF} hashes of 32 bytes")
