"""Checkpoints: what a log says it holds, signed by it and by the witnesses that saw it grow (rule R2).

Source: C2SP tlog-checkpoint, "Note text" and "Signatures"; C2SP tlog-cosignature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from client_sdk.encoding import from_base64, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.transparency.formats.note import MAX_NAME, NoteVerifier, Signed, open_note

MAX_SIZE = 2**63 - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The name of a log, how many entries it has, and the root of the Merkle tree over them.

    ``extensions`` are lines that witnesses sign and say nothing about; this project writes none.

    Raises:
        EvidenceError: a field that no checkpoint can hold.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.origin or len(self.origin) > MAX_NAME or not self.origin.isprintable():
            raise EvidenceError("checkpoint.origin", f"expected 1 to {MAX_NAME} printable characters")
        if type(self.size) is not int or not 0 <= self.size <= MAX_SIZE:
            raise EvidenceError("checkpoint.size", "expected a whole number from 0 to 2^63 - 1")
        if not isinstance(self.root, bytes) or len(self.root) != 32:
            raise EvidenceError("checkpoint.root", "expected 32 bytes")
        if not all(self.extensions):
            raise EvidenceError("checkpoint", "an extension line is empty")

    @classmethod
    def from_text(cls, text: str) -> Checkpoint:
        """Read the text of a note.

        Raises:
            EvidenceError: it is no checkpoint.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise EvidenceError("checkpoint", "expected at least three lines, none of them empty")
        return cls(lines[0], number(lines[1], "checkpoint.size"), digest(lines[2], "checkpoint.root"), tuple(lines[3:]))

    def to_text(self) -> str:
        """Write the text that gets signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, to_base64(self.root), *self.extensions))


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that its log signed, and which of the asked witnesses did, each once, with the time it says."""

    checkpoint: Checkpoint
    witnessed: tuple[Signed, ...]
    data: bytes


@keeps("R2.checkpoint")
def open_checkpoint(
    data: bytes, log: NoteVerifier, witnesses: Iterable[NoteVerifier] = (), *, ledger: Ledger | None = None
) -> SignedCheckpoint:
    """Return a checkpoint that this log signed; how many witnesses must have signed it too is the caller's to ask.

    It does not prove that the log shows everybody the same, which is what witnesses are for.

    Raises:
        EvidenceError: it is malformed.
        VerificationError: R2.note or R2.checkpoint, it is not this log's.
    """
    note, recorded = open_note(data, (log, *witnesses)), ledger or Ledger()
    recorded.holds(
        "R2.checkpoint",
        "the log that you pinned signed the checkpoint",
        expected=log.name,
        got=tuple(signed.by.name for signed in note.signed),
        condition=log in [signed.by for signed in note.signed],
    )
    checkpoint = Checkpoint.from_text(note.text)
    what = "the checkpoint is of the log whose key signed it"
    recorded.equal("R2.checkpoint", what, expected=log.name, got=checkpoint.origin)
    return SignedCheckpoint(checkpoint, tuple(signed for signed in note.signed if signed.by != log), data)


def number(text: str, where: str) -> int:
    """Read a decimal number without leading zeroes, of at most 63 bits.

    Raises:
        EvidenceError: it is none.
    """
    if not _NUMBER.fullmatch(text) or int(text) > MAX_SIZE:
        raise EvidenceError(where, "expected a decimal number without leading zeroes, below 2^63")
    return int(text)


def digest(text: str, where: str) -> bytes:
    """Read base64 of a SHA-256.

    Raises:
        EvidenceError: it is none.
    """
    found = from_base64(text, where, limit=64)
    if len(found) != 32:
        raise EvidenceError(where, f"expected 32 bytes, got {len(found)}")
    return found
