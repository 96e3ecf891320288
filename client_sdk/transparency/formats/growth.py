"""Proofs that a log's tree grew out of smaller ones, which a publisher may send along with a proof of inclusion.

They are the ``extra`` line of a tlog-proof: for each smaller tree a block ``old SIZE``, one line for each hash, and an
empty line; the lines are those that C2SP tlog-witness, "add-checkpoint", has before its checkpoint. They prove
themselves against a tree that the client remembers, and nothing to a client that remembers none of these sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.encoding import to_base64
from client_sdk.errors import EvidenceError
from client_sdk.transparency.formats.checkpoint import digest, number
from client_sdk.transparency.formats.merkle import MAX_PROOF

MAX_BLOCKS = 256


@dataclass(frozen=True, slots=True)
class Growth:
    """A consistency proof (RFC 6962, section 2.1.2) from a tree of this size to the checkpoint that it came with."""

    old_size: int
    hashes: tuple[bytes, ...]


def read_growths(extra: bytes) -> tuple[Growth, ...]:
    """Decode what came as extra; nothing is verified.

    Raises:
        EvidenceError: it is malformed.
    """
    if not extra:
        return ()
    try:
        text = extra.decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceError("proof.extra", "not ASCII") from error
    blocks = text.removesuffix("\n\n").split("\n\n")
    if not text.endswith("\n\n") or len(blocks) > MAX_BLOCKS:
        raise EvidenceError("proof.extra", f"expected at most {MAX_BLOCKS} blocks with an empty line after each")
    return tuple(_block(block, f"proof.extra[{i}]") for i, block in enumerate(blocks))


def write_growths(growths: tuple[Growth, ...]) -> bytes:
    """Write them as extra."""
    return "".join("\n".join([f"old {one.old_size}", *map(to_base64, one.hashes), "", ""]) for one in growths).encode()


def _block(text: str, where: str) -> Growth:
    head, *lines = text.split("\n")
    if not head.startswith("old ") or len(lines) > MAX_PROOF:
        raise EvidenceError(where, f"expected the word old, a size, and at most {MAX_PROOF} hashes")
    return Growth(number(head.removeprefix("old "), where), tuple(digest(line, where) for line in lines))
