"""The publisher that a caller pins: keys and how many of them must sign (rule R1).

Never read from the release, the working folder or the peer: whoever writes those would choose who is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from client_sdk.dsse import key_id
from client_sdk.errors import EvidenceError
from client_sdk.given import require, require_number

MAX_KEY_FILE = 16_384


@dataclass(frozen=True, slots=True)
class Publisher:
    """Ed25519 keys (objects, PEM bytes, or paths of PEM files) and the number of them that must have signed.

    Raises:
        EvidenceError: no key, a key given twice, a threshold that cannot be met, or a file that is no Ed25519 key.
    """

    keys: tuple[Ed25519PublicKey | bytes | str | Path, ...]
    threshold: int = 1
    public_keys: tuple[Ed25519PublicKey, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.keys, (tuple, list)):  # a string would be taken apart into characters
            raise EvidenceError("publisher.keys", "expected a tuple of keys, got one: write keys=(key,)")
        # Read once: what is pinned must not follow a file that somebody replaces later.
        found = tuple(_read(key, f"publisher.keys[{i}]") for i, key in enumerate(self.keys))
        object.__setattr__(self, "public_keys", found)
        if not found:
            raise EvidenceError("publisher.keys", "expected at least one key, got none: write keys=(key,)")
        require_number(self.threshold, "publisher.threshold")
        if not 1 <= self.threshold <= len(found):
            what = f"expected 1 to {len(found)}, as many keys as are given, got {self.threshold}"
            raise EvidenceError("publisher.threshold", f"{what}: give more keys, or another threshold")
        if len({key.public_bytes_raw() for key in found}) != len(found):
            raise EvidenceError("publisher.keys", "a key is given twice")

    @property
    def names(self) -> str:
        """The key ids, for people."""
        return ", ".join(key_id(key) for key in self.public_keys)


def require_publisher(value: object) -> None:
    """Refuse what is no publisher: a key or its path, say.

    Raises:
        EvidenceError: with what to write.
    """
    remedy = (
        f"write Publisher(keys=({str(value)!r},))" if isinstance(value, (str, Path)) else "write Publisher(keys=(…,))"
    )
    require(value, Publisher, "publisher", expected="the publisher that you trust", remedy=remedy)


def _read(key: Ed25519PublicKey | bytes | str | Path, where: str) -> Ed25519PublicKey:
    if isinstance(key, Ed25519PublicKey):
        return key
    remedy = "give a path, the bytes of a PEM file, or a key object"
    require(key, (bytes, str, Path), where, expected="an Ed25519 public key", remedy=remedy)
    if not isinstance(key, bytes):
        where = f"{where} ({key})"
    pem = key if isinstance(key, bytes) else _read_file(Path(key), where)
    if b"PRIVATE KEY" in pem:
        raise EvidenceError(where, "a private key: give the public one, and keep this one to yourself")
    try:
        found = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError(where, "not a public key in PEM form") from error
    if not isinstance(found, Ed25519PublicKey):
        raise EvidenceError(where, "not an Ed25519 key")
    return found


def _read_file(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_FILE)
    except OSError as error:
        raise EvidenceError(where, f"cannot be read: {error.strerror}") from error
