"""A release with the proof that a log has it: what a client is given in place of the release alone.

The proof is of the exact bytes of the signed file: those are the log's entry. Rotations of the publisher's keys come
along, oldest first, for whoever pinned keys of before.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.encoding import canonical_json, from_base64, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, items, version
from client_sdk.transparency.proof import Proof

VERSION = 1
MAX_ENTRY = 65_535  # C2SP tlog-tiles, "Log entries": the length of an entry is written in 16 bits
MAX_ROTATIONS = 256
_KEYS = frozenset({"version", "envelope", "proof", "rotations"})


@dataclass(frozen=True, slots=True)
class Bundle:
    """The bytes of a signed release, its proof, and rotations; nothing is verified yet.

    Raises:
        EvidenceError: an entry that no log can hold, or more rotations than anybody makes.
    """

    envelope: bytes
    proof: Proof
    rotations: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not all(0 < len(entry) <= MAX_ENTRY for entry in (self.envelope, *self.rotations)):
            raise EvidenceError("bundle", f"an entry of a log has 1 to {MAX_ENTRY} bytes")
        if len(self.rotations) > MAX_ROTATIONS:
            raise EvidenceError("bundle.rotations", f"expected at most {MAX_ROTATIONS}")

    @classmethod
    def from_json(cls, data: bytes) -> Bundle:
        """Decode a bundle.

        Raises:
            EvidenceError: it is malformed.
        """
        top = exact_keys(strict_json(data), _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        if not isinstance(top["proof"], str):
            raise EvidenceError("$.proof", "not a text")
        rotations = items(top["rotations"], "$.rotations", limit=MAX_ROTATIONS)
        return cls(
            from_base64(top["envelope"], "$.envelope", limit=MAX_ENTRY),
            Proof.from_bytes(_utf8(top["proof"])),
            tuple(from_base64(item, f"$.rotations[{i}]", limit=MAX_ENTRY) for i, item in enumerate(rotations)),
        )

    def to_json(self) -> bytes:
        """Serialise as canonical JSON."""
        return canonical_json(
            {
                "version": VERSION,
                "envelope": to_base64(self.envelope),
                "proof": self.proof.to_bytes().decode(),
                "rotations": [to_base64(rotation) for rotation in self.rotations],
            }
        )


def unpack(data: bytes) -> tuple[bytes, Bundle | None]:
    """Return the signed release in a file, and the bundle around it where the file is one.

    Raises:
        EvidenceError: it is neither.
    """
    top = strict_json(data)
    if not isinstance(top, dict) or "envelope" not in top:
        return data, None
    bundle = Bundle.from_json(data)
    return bundle.envelope, bundle


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can spell
        raise EvidenceError("$.proof", "not Unicode") from error
