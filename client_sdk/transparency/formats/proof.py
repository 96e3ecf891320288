"""Proofs that a log has an entry, in one text: index, hashes, and the checkpoint with its witnesses (rule R2).

Source: C2SP tlog-proof, "Format"; the hashes are those of RFC 6962, section 2.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.encoding import from_base64, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.transparency.formats.checkpoint import digest, number
from client_sdk.transparency.formats.merkle import MAX_PROOF
from client_sdk.transparency.formats.note import MAX_NOTE

HEADER = "c2sp.org/tlog-proof@v1"
MAX_EXTRA = 64 * 1024
MAX_TEXT = MAX_NOTE + 2 * MAX_EXTRA


@dataclass(frozen=True, slots=True)
class Proof:
    """An entry's index, the hashes from its sibling up, and the bytes of a checkpoint; nothing is verified yet.

    ``extra`` is for an application to say and proves nothing by itself; here it has growths (``growth.py``).
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    @classmethod
    def from_bytes(cls, data: bytes) -> Proof:
        """Take a proof apart.

        Raises:
            EvidenceError: it is malformed.
        """
        if len(data) > MAX_TEXT:
            raise EvidenceError("proof", f"{len(data)} bytes are over the limit of {MAX_TEXT}")
        head, blank, checkpoint = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise EvidenceError(f"proof, byte {error.start}", "not ASCII") from error
        if not blank or lines.pop(0) != HEADER:
            raise EvidenceError("proof", f"expected {HEADER}, the proof, an empty line and a checkpoint")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = from_base64(lines.pop(0).removeprefix("extra "), "proof.extra", limit=MAX_EXTRA)
            if not extra:
                raise EvidenceError("proof.extra", "is empty: the line is left out then")
        if not lines or not lines[0].startswith("index "):
            raise EvidenceError("proof.index", "expected the word index and a number")
        index = number(lines.pop(0).removeprefix("index "), "proof.index")
        if len(lines) > MAX_PROOF:
            raise EvidenceError("proof", f"{len(lines)} hashes are over the limit of {MAX_PROOF}")
        return cls(index, tuple(digest(line, f"proof.hashes[{i}]") for i, line in enumerate(lines)), checkpoint, extra)

    def to_bytes(self) -> bytes:
        """Write the proof."""
        extra = [f"extra {to_base64(self.extra)}"] if self.extra else []
        lines = [HEADER, *extra, f"index {self.index}", *map(to_base64, self.hashes), "", ""]
        return "\n".join(lines).encode() + self.checkpoint
