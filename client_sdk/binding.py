"""What ties quote, TLS key, GPU and CPU report together (protocol.md, "Binding"; rules C2, T1, G2, L11).

Pure hashing. A value computed here proves nothing until a quote or report that a trusted key signed contains it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256, sha512

from client_sdk.encoding import lp
from client_sdk.errors import EvidenceError

MAX_TREE = 4096
NONCE_SIZE = 32

LOCKDOWN = b"vitrine/lockdown/v1"
DEBUG_LOCKDOWN = b"vitrine/lockdown/v1/DEBUG"
"""What an image says in place of it that has a console for developers (rule P9)."""
NO_GPU = b"none"
SEALED = b"vitrine/sealed/v1"
RUNTIME_TYPES = ("lockdown", "tls-spki", "gpu", "sealed")


def leaf_hash(nonce: bytes) -> bytes:
    """Hash one nonce as a leaf (RFC 9162, section 2.1.1)."""
    if len(nonce) != NONCE_SIZE:
        raise EvidenceError("nonce", f"expected {NONCE_SIZE} bytes, got {len(nonce)}")
    return sha256(b"\x00" + nonce).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children as an inner node (RFC 9162, section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one nonce sits in the tree: its index, the tree's size and the sibling hashes, leaf upwards."""

    index: int
    tree_size: int
    path: tuple[bytes, ...]


def merkle_tree(nonces: tuple[bytes, ...]) -> tuple[bytes, tuple[Place, ...]]:
    """Build the tree over the waiting nonces: its root, and the place of each nonce (RFC 9162, section 2.1)."""
    if not 1 <= len(nonces) <= MAX_TREE:
        raise EvidenceError("nonces", f"expected 1 to {MAX_TREE} nonces, got {len(nonces)}")
    root, paths = _subtree([leaf_hash(nonce) for nonce in nonces])
    return root, tuple(Place(index, len(nonces), tuple(path)) for index, path in enumerate(paths))


def merkle_root(nonce: bytes, place: Place) -> bytes:
    """Recompute the root from a nonce and its place (RFC 9162, section 2.1.3.2).

    Raises:
        EvidenceError: when the index lies outside the tree or the path is not exactly as long as it must be.
    """
    if not 1 <= place.tree_size <= MAX_TREE:
        raise EvidenceError("quote.tree_size", f"expected 1 to {MAX_TREE}, got {place.tree_size}")
    if not 0 <= place.index < place.tree_size:
        raise EvidenceError("quote.index", f"expected less than {place.tree_size}, got {place.index}")
    wanted = _path_length(place.index, place.tree_size)
    if len(place.path) != wanted:
        raise EvidenceError("quote.path", f"expected {wanted} hashes, got {len(place.path)}")
    return _climb(leaf_hash(nonce), place.index, place.tree_size, place.path)


def extra_data(root: bytes, tree_size: int, spki: bytes, gpu: bytes) -> bytes:
    """Compute the quote's ``extraData``: ``spki`` is SHA-256 of the key, ``gpu`` of the GPU evidence, or empty."""
    size = tree_size.to_bytes(4, "big")
    return sha256(b"vitrine/quote/v1" + lp(root) + size + lp(spki) + lp(gpu)).digest()


def report_data(ak_name: bytes, spki: bytes, gpu: bytes, pcr15: bytes) -> bytes:
    """Compute the 64 bytes that a CPU TEE report carries where the guest may choose them (rule T1)."""
    return sha512(b"vitrine/report-data/v1" + lp(ak_name) + lp(spki) + lp(gpu) + lp(pcr15)).digest()


def gpu_nonce(ak_name: bytes, spki: bytes) -> bytes:
    """Compute the nonce that GPU evidence is asked for with, once a boot (rule G2)."""
    return sha256(b"vitrine/gpu/v1" + lp(ak_name) + lp(spki)).digest()


def gpu_digest(evidence: tuple[bytes, ...]) -> bytes:
    """Compute ``gpu``: one digest over every device's evidence as received, in order; empty where there is none."""
    return sha256(b"".join([lp(one) for one in evidence])).digest() if evidence else b""


def runtime_digest(kind: str, data: bytes) -> bytes:
    """Compute the digest that one run-time event extends into PCR 15."""
    return sha256(kind.encode("ascii") + b"\x00" + data).digest()


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def _subtree(leaves: list[bytes]) -> tuple[bytes, list[list[bytes]]]:
    if len(leaves) == 1:
        return leaves[0], [[]]
    middle = _split(len(leaves))
    left, left_paths = _subtree(leaves[:middle])
    right, right_paths = _subtree(leaves[middle:])
    paths = [[*path, right] for path in left_paths] + [[*path, left] for path in right_paths]
    return node_hash(left, right), paths


def _path_length(index: int, size: int) -> int:
    length = 0
    while size > 1:
        middle = _split(size)
        index, size = (index, middle) if index < middle else (index - middle, size - middle)
        length += 1
    return length


def _climb(leaf: bytes, index: int, size: int, path: tuple[bytes, ...]) -> bytes:
    """Walk from the leaf to the root: ``fn`` and ``sn`` as RFC 9162, section 2.1.3.2 names them."""
    fn, sn, current = index, size - 1, leaf
    for sibling in path:
        if fn & 1 or fn == sn:
            current = node_hash(sibling, current)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = node_hash(current, sibling)
        fn, sn = fn >> 1, sn >> 1
    return current
