"""The publisher that a caller pins: his keys, his log and its witnesses, and who rebuilt what he releases (R1, R2, R5).

Never read from the release, the working folder or the peer: whoever writes those would choose who is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from client_sdk.dsse import key_id
from client_sdk.errors import EvidenceError
from client_sdk.given import require, require_number, require_path
from client_sdk.transparency.client.pins import KeySource, read_verifier
from client_sdk.transparency.formats.note import COSIGNATURE, ED25519, NoteVerifier

MAX_KEY_FILE = 16_384
PublicKey = Ed25519PublicKey | bytes | str | Path


@dataclass(frozen=True, slots=True)
class Publisher:
    """Ed25519 keys (objects, PEM bytes, or paths of PEM files) and the number of them that must have signed.

    ``log`` is the key of the log that every release of his is in, ``witnesses`` are keys of those who watch it (texts
    ``NAME+ID+KEY``, or paths of files with them); ``witness_quorum`` of them, all unless it is given, must have signed
    what the log says. ``max_checkpoint_age`` is how long ago they may have done so; None sets no limit, and the report
    says that. With a log a release needs a proof that it is there; without one the publisher is trusted alone.
    ``rebuilders`` are keys as ``keys`` are: each of them must have signed the release beside the publisher.

    Raises:
        EvidenceError: no key, one given twice, a number that cannot be met, a file that is no key, or a limit that
            nobody could be held to.
    """

    keys: tuple[PublicKey, ...]
    threshold: int = 1
    log: KeySource | None = None
    witnesses: tuple[KeySource, ...] = ()
    witness_quorum: int | None = None
    rebuilders: tuple[PublicKey, ...] = ()
    max_checkpoint_age: timedelta | None = None
    public_keys: tuple[Ed25519PublicKey, ...] = field(init=False, repr=False)
    rebuilder_keys: tuple[Ed25519PublicKey, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Read once: what is pinned must not follow a file that somebody replaces later.
        found = _read_all(self.keys, "publisher.keys")
        object.__setattr__(self, "public_keys", found)
        object.__setattr__(self, "keys", found)  # and not again when a rotation makes another publisher of this one
        if not found:
            raise EvidenceError("publisher.keys", "expected at least one key, got none: write keys=(key,)")
        require_number(self.threshold, "publisher.threshold")
        if not 1 <= self.threshold <= len(found):
            what = f"expected 1 to {len(found)}, as many keys as are given, got {self.threshold}"
            raise EvidenceError("publisher.threshold", f"{what}: give more keys, or another threshold")
        rebuilders = _read_all(self.rebuilders, "publisher.rebuilders")
        object.__setattr__(self, "rebuilder_keys", rebuilders)
        object.__setattr__(self, "rebuilders", rebuilders)
        if {key.public_bytes_raw() for key in found} & {key.public_bytes_raw() for key in rebuilders}:
            raise EvidenceError("publisher.rebuilders", "one of the publisher's own keys: it says nothing more")
        self._read_log()

    def _read_log(self) -> None:
        if self.log is not None:
            object.__setattr__(self, "log", read_verifier(self.log, "publisher.log", kind=ED25519))
        _require_tuple(self.witnesses, "publisher.witnesses")
        witnesses = tuple(
            read_verifier(key, f"publisher.witnesses[{i}]", kind=COSIGNATURE) for i, key in enumerate(self.witnesses)
        )
        object.__setattr__(self, "witnesses", witnesses)
        others = [key.public_key for key in (*([self.log_key] if self.log_key else []), *witnesses)]
        if len(set(others)) != len(others):
            raise EvidenceError("publisher.witnesses", "a key is given twice, or is the log's: it would count twice")
        if len({key.name for key in witnesses}) != len(witnesses):
            raise EvidenceError("publisher.witnesses", "two witnesses have one name")
        self._require_quorum()

    def _require_quorum(self) -> None:
        given = len(self.witnesses)
        if self.log is None and (given or self.witness_quorum is not None or self.max_checkpoint_age is not None):
            raise EvidenceError("publisher.log", "witnesses and an age are of a log's checkpoints: give its key, log=…")
        if self.witness_quorum is not None:
            require_number(self.witness_quorum, "publisher.witness_quorum")
            if not 1 <= self.witness_quorum <= given:
                what = f"expected 1 to {given}, as many witnesses as are given, got {self.witness_quorum}"
                raise EvidenceError("publisher.witness_quorum", what if given else "no witness is given")
        age = self.max_checkpoint_age
        if age is None:
            return
        if not isinstance(age, timedelta) or age <= timedelta(0):
            raise EvidenceError("publisher.max_checkpoint_age", "expected a time above zero: write timedelta(days=7)")
        if not given:
            raise EvidenceError("publisher.max_checkpoint_age", "only witnesses say when: give their keys, witnesses=…")

    @property
    def log_key(self) -> NoteVerifier | None:
        """The log's key, as it was read."""
        return self.log if isinstance(self.log, NoteVerifier) else None

    @property
    def witness_keys(self) -> tuple[NoteVerifier, ...]:
        """The witnesses' keys, as they were read."""
        return tuple(key for key in self.witnesses if isinstance(key, NoteVerifier))

    @property
    def quorum(self) -> int:
        """How many witnesses must have signed; none where none is pinned."""
        return len(self.witnesses) if self.witness_quorum is None else self.witness_quorum

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


def _read_all(keys: object, where: str) -> tuple[Ed25519PublicKey, ...]:
    found = tuple(_read(key, f"{where}[{i}]") for i, key in enumerate(_require_tuple(keys, where)))
    if len({key.public_bytes_raw() for key in found}) != len(found):
        raise EvidenceError(where, "a key is given twice")
    return found


def _require_tuple(keys: object, where: str) -> tuple[PublicKey, ...]:
    if not isinstance(keys, (tuple, list)):  # a string would be taken apart into characters
        name = where.rpartition(".")[2]
        raise EvidenceError(where, f"expected a tuple of keys, got one: write {name}=(key,)")
    return tuple(keys)


def _read(key: PublicKey, where: str) -> Ed25519PublicKey:
    if isinstance(key, Ed25519PublicKey):
        return key
    remedy = "give a path, the bytes of a PEM file, or a key object"
    require(key, (bytes, str, Path), where, expected="an Ed25519 public key", remedy=remedy)
    if not isinstance(key, bytes):
        require_path(key, where)
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
            data = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise EvidenceError(where, f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_KEY_FILE:
        raise EvidenceError(where, f"more than {MAX_KEY_FILE} bytes are no key")
    return data
