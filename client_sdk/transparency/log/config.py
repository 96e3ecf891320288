"""What a log of one's own is set up with: its name and key, the publisher whose releases it takes, its witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from client_sdk.encoding import canonical_json, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, integer, items, text, version
from client_sdk.publisher import Publisher
from client_sdk.transparency.formats.note import COSIGNATURE, ED25519, NoteVerifier
from client_sdk.transparency.log.contents import publisher_from, publisher_to_dict

VERSION = 1
MAX_CONFIG = 64 * 1024
MAX_WITNESSES = 16
MAX_URL = 1024
_KEYS = frozenset({"version", "log", "publisher", "witnesses", "quorum"})


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness's key, and where it takes checkpoints; without a place its cosignatures are brought by hand.

    Raises:
        EvidenceError: the key is no witness's.
    """

    key: NoteVerifier
    url: str = ""

    def __post_init__(self) -> None:
        if self.key.kind != COSIGNATURE:
            raise EvidenceError(f"witness {self.key.name}", "its key is no witness's (kind 0x04)")


@dataclass(frozen=True, slots=True)
class Config:
    """``quorum`` is how many of the witnesses must sign a checkpoint before anybody is shown it.

    Raises:
        EvidenceError: the log's key is a witness's, witnesses that are too many or given twice, or a quorum that
            cannot be met.
    """

    log: NoteVerifier
    publisher: Publisher
    witnesses: tuple[Cosigner, ...] = ()
    quorum: int = 0

    def __post_init__(self) -> None:
        if self.log.kind != ED25519:
            raise EvidenceError("log.key", "it is no log's (kind 0x01)")
        keys = {witness.key.public_key for witness in self.witnesses}
        if len(keys) != len(self.witnesses) or len(keys) > MAX_WITNESSES:
            raise EvidenceError("log.witnesses", f"expected at most {MAX_WITNESSES} witnesses, each with its own key")
        if not 0 <= self.quorum <= len(self.witnesses):
            many = len(self.witnesses)
            raise EvidenceError("log.quorum", f"expected 0 to {many}, as many witnesses as there are")

    def to_json(self) -> bytes:
        """Write it."""
        return canonical_json(
            {
                "version": VERSION,
                "log": str(self.log),
                "publisher": publisher_to_dict(self.publisher),
                "witnesses": [{"key": str(witness.key), "url": witness.url} for witness in self.witnesses],
                "quorum": self.quorum,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Config:
        """Read it.

        Raises:
            EvidenceError: it is something else.
        """
        top = exact_keys(strict_json(data, limit=MAX_CONFIG), _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        witnesses = items(top["witnesses"], "$.witnesses", limit=MAX_WITNESSES)
        return cls(
            NoteVerifier.from_text(text(top["log"], "$.log")),
            publisher_from(top["publisher"], "$.publisher"),
            tuple(_witness(value, f"$.witnesses[{i}]") for i, value in enumerate(witnesses)),
            integer(top["quorum"], "$.quorum"),
        )


def _witness(value: Any, where: str) -> Cosigner:
    fields = exact_keys(value, frozenset({"key", "url"}), where)
    key = NoteVerifier.from_text(text(fields["key"], f"{where}.key"))
    return Cosigner(key, text(fields["url"], f"{where}.url", limit=MAX_URL))
