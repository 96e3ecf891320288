"""A release with the proof that a log has it: what a client is given in place of the release alone.

The proof is of the exact bytes of the signed file: those are the log's entry. Rotations of the publisher's keys come
along, oldest first, for whoever pinned keys of before, each with where it stands in the tree of the same checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from client_sdk.encoding import canonical_json, from_base64, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, integer, items, mapping, text, version
from client_sdk.rotation import MAX_ROTATIONS
from client_sdk.transparency.formats import tiles
from client_sdk.transparency.formats.checkpoint import digest
from client_sdk.transparency.formats.merkle import MAX_PROOF
from client_sdk.transparency.formats.proof import Proof

VERSION = 1
MAX_ENTRY = tiles.MAX_ENTRY  # what is proven is a log's entry
_KEYS = frozenset({"version", "envelope", "proof", "rotations"})
_PLACES = "rotation_proofs"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry is in the tree, and the hashes from its sibling up; nothing is verified yet."""

    index: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The bytes of a signed release, its proof, and rotations; nothing is verified yet.

    ``places`` are those of the rotations, in their order; without them a client that pins the log follows none.

    Raises:
        EvidenceError: an entry that no log can hold, more rotations than anybody makes, or places of other ones.
    """

    envelope: bytes
    proof: Proof
    rotations: tuple[bytes, ...] = ()
    places: tuple[Place, ...] = ()

    def __post_init__(self) -> None:
        if not all(0 < len(entry) <= MAX_ENTRY for entry in (self.envelope, *self.rotations)):
            raise EvidenceError("bundle", f"an entry of a log has 1 to {MAX_ENTRY} bytes")
        if len(self.rotations) > MAX_ROTATIONS:
            raise EvidenceError("bundle.rotations", f"expected at most {MAX_ROTATIONS}")
        if self.places and len(self.places) != len(self.rotations):
            raise EvidenceError(f"bundle.{_PLACES}", f"expected {len(self.rotations)}, one for each rotation")

    @classmethod
    def from_json(cls, data: bytes) -> Bundle:
        """Decode a bundle.

        Raises:
            EvidenceError: it is malformed.
        """
        top = mapping(strict_json(data), "$", limit=len(_KEYS) + 1)
        places = items(top.pop(_PLACES, []), f"$.{_PLACES}", limit=MAX_ROTATIONS)
        exact_keys(top, _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        if not isinstance(top["proof"], str):
            raise EvidenceError("$.proof", "not a text")
        rotations = items(top["rotations"], "$.rotations", limit=MAX_ROTATIONS)
        return cls(
            from_base64(top["envelope"], "$.envelope", limit=MAX_ENTRY),
            Proof.from_bytes(_utf8(top["proof"])),
            tuple(from_base64(item, f"$.rotations[{i}]", limit=MAX_ENTRY) for i, item in enumerate(rotations)),
            tuple(_place(item, f"$.{_PLACES}[{i}]") for i, item in enumerate(places)),
        )

    def to_json(self) -> bytes:
        """Serialise as canonical JSON."""
        fields = {
            "version": VERSION,
            "envelope": to_base64(self.envelope),
            "proof": self.proof.to_bytes().decode(),
            "rotations": [to_base64(rotation) for rotation in self.rotations],
        }
        places = [{"index": place.index, "hashes": [to_base64(one) for one in place.hashes]} for place in self.places]
        return canonical_json(fields | ({_PLACES: places} if places else {}))


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


def _place(value: Any, where: str) -> Place:
    fields = exact_keys(value, frozenset({"index", "hashes"}), where)
    hashes = items(fields["hashes"], f"{where}.hashes", limit=MAX_PROOF)
    found = tuple(digest(text(one, f"{where}.hashes[{i}]"), f"{where}.hashes[{i}]") for i, one in enumerate(hashes))
    return Place(integer(fields["index"], f"{where}.index"), found)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can spell
        raise EvidenceError("$.proof", "not Unicode") from error
