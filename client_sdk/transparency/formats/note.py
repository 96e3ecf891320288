"""Signed notes: text with signatures under it, and the two kinds of keys that this project reads (rule R2).

Source: C2SP signed-note, "Format", "Signatures" and "Verifier keys"; C2SP tlog-cosignature, "Format" and "Ed25519
signed message". A key is written ``NAME+ID+KEY``: its name, its id in hex, and base64 of its kind and its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client_sdk.encoding import from_base64, to_base64
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.rules import keeps

ED25519, COSIGNATURE = 0x01, 0x04
MAX_NOTE = 1024 * 1024
MAX_SIGNATURES = 128
MAX_NAME = 255
_KINDS = (ED25519, COSIGNATURE)
_PRIVATE = "PRIVATE+KEY+"
_DASH = "\N{EM DASH} "
_ID = re.compile(r"[0-9a-f]{8}")
_FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A public key with its name: of a log (``ED25519``), or of a witness (``COSIGNATURE``, which dates what it signs).

    Raises:
        EvidenceError: a name that no note can hold, another kind, or a key of another size.
    """

    name: str
    public_key: bytes
    kind: int = ED25519

    def __post_init__(self) -> None:
        require_name(self.name, "note key")
        if self.kind not in _KINDS:
            raise EvidenceError(f"note key {self.name}", f"kind {self.kind:#04x} is neither 0x01 nor 0x04")
        if not isinstance(self.public_key, bytes) or len(self.public_key) != 32:
            raise EvidenceError(f"note key {self.name}", "expected 32 bytes of an Ed25519 public key")

    @classmethod
    def from_text(cls, text: str) -> NoteVerifier:
        """Read a key as it is written.

        Raises:
            EvidenceError: it is malformed, or its id is not that of its name and bytes.
        """
        if text.startswith(_PRIVATE):
            raise EvidenceError("note key", "a private key: give the public one, and keep this one to yourself")
        name, kind, key = _read_key(text, "note key")
        found = cls(name, key, kind)
        _require_id(found, text.split("+", 2)[1])
        return found

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature; a hint, not a digest to rely on."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.kind]) + self.public_key)}"


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A private key with its name; ``seed`` are the 32 bytes of RFC 8032."""

    name: str
    seed: bytes
    kind: int = ED25519

    @classmethod
    def generate(cls, name: str, kind: int = ED25519) -> NoteSigner:
        """Draw a new key."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw(), kind)

    @classmethod
    def from_text(cls, text: str) -> NoteSigner:
        """Read a private key as it is written: as a public one, with ``PRIVATE+KEY+`` before it and the seed in it.

        Raises:
            EvidenceError: it is malformed; what it says is not repeated.
        """
        if not text.startswith(_PRIVATE):
            raise EvidenceError("note signer", f"a private key of a note begins with {_PRIVATE}")
        name, kind, seed = _read_key(text.removeprefix(_PRIVATE), "note signer")
        found = cls(name, seed, kind)
        _require_id(found.verifier, text.removeprefix(_PRIVATE).split("+", 2)[1])
        return found

    @property
    def verifier(self) -> NoteVerifier:
        """The public half."""
        return NoteVerifier(self.name, self._key().public_key().public_bytes_raw(), self.kind)

    def to_text(self) -> str:
        """Write the private key: for a file that only its owner reads."""
        secret = to_base64(bytes([self.kind]) + self.seed)
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{secret}"

    def sign(self, text: str, *, at: int | None = None) -> Signature:
        """Sign a text; a witness's key says ``at`` which POSIX time, a log's key says none.

        Raises:
            EvidenceError: no time for a witness's key, or one for a log's.
        """
        if (at is not None) != (self.kind == COSIGNATURE):
            raise EvidenceError("note signer", "a cosignature has a time, and no other signature has")
        signature = self._key().sign(_message(text, at))
        stamp = b"" if at is None else at.to_bytes(8, "big")
        return Signature(self.name, self.verifier.key_id, stamp + signature)

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def __repr__(self) -> str:
        return f"NoteSigner({self.name!r})"


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a text; nothing is verified yet."""

    name: str
    key_id: bytes
    data: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {to_base64(self.key_id + self.data)}\n"


@dataclass(frozen=True, slots=True)
class UnverifiedNote:
    """A note as it was read: its text must not be used before :func:`open_note` found a signature that counts."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def from_bytes(cls, data: bytes) -> UnverifiedNote:
        """Take a note apart.

        Raises:
            EvidenceError: it is malformed.
        """
        if len(data) > MAX_NOTE:
            raise EvidenceError("note", f"{len(data)} bytes are over the limit of {MAX_NOTE}")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise EvidenceError(f"note, byte {error.start}", "not UTF-8") from error
        if found := _FORBIDDEN.search(whole):
            raise EvidenceError(f"note, character {found.start()}", "a control character")
        head, blank, tail = whole.rpartition("\n\n")
        if not blank or not tail.endswith("\n"):
            raise EvidenceError("note", "expected a text, an empty line, and lines of signatures that end in newline")
        lines = tail[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise EvidenceError("note", f"{len(lines)} signatures are over the limit of {MAX_SIGNATURES}")
        return cls(head + "\n", tuple(_signature(line, f"note, signature {i}") for i, line in enumerate(lines)))

    def to_bytes(self) -> bytes:
        """Write the note."""
        return (self.text + "\n" + "".join(map(str, self.signatures))).encode()


@dataclass(frozen=True, slots=True)
class Signed:
    """A key whose signature holds, and the POSIX time at which it says so where it is a witness's."""

    by: NoteVerifier
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A text, and those of the caller's keys that signed it: each once, a witness's with its latest time."""

    text: str
    signed: tuple[Signed, ...]


@keeps("R2.note")
def open_note(data: bytes, verifiers: Iterable[NoteVerifier]) -> Note:
    """Return the text when one of these keys signed it; signatures of other keys are passed over.

    It does not prove that any particular one of them did: the caller asks ``signed``.

    Raises:
        EvidenceError: it is malformed, or two of the keys cannot be told apart.
        VerificationError: R2.note, none of the keys signed it, or what stands there as a signature of one is none.
    """
    note, known = UnverifiedNote.from_bytes(data), _by_name(verifiers)
    signed: dict[NoteVerifier, Signed] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        found = Signed(key, _verified(signature, key, note.text))
        signed[key] = max(signed.get(key, found), found, key=lambda one: one.at or 0)
    if not signed:
        expected = ", ".join(key.name for key in known.values()) or "no key at all"
        got = ", ".join(signature.name for signature in note.signatures)
        raise VerificationError("R2.note", "a key that you trust signed the note", expected=expected, got=got)
    return Note(note.text, tuple(signed.values()))


def sign_note(text: str, signer: NoteSigner, *, at: int | None = None) -> bytes:
    """Make a note with one signature.

    Raises:
        EvidenceError: no note can hold the text, or ``at`` and the kind of key do not go together.
    """
    if not text.endswith("\n") or _FORBIDDEN.search(text):
        raise EvidenceError("note", "a text ends in newline and has no other control character")
    return UnverifiedNote(text, (signer.sign(text, at=at),)).to_bytes()


def add_signature(data: bytes, signature: Signature) -> bytes:
    """Return the note with one more line; one of the same key is replaced."""
    note = UnverifiedNote.from_bytes(data)
    others = [kept for kept in note.signatures if (kept.name, kept.key_id) != (signature.name, signature.key_id)]
    return UnverifiedNote(note.text, (*others, signature)).to_bytes()


def without_others(data: bytes, keys: Iterable[NoteVerifier]) -> bytes:
    """Return the note with the signatures of these keys alone: those that mean something to whoever pinned them."""
    note, known = UnverifiedNote.from_bytes(data), {(key.name, key.key_id) for key in keys}
    return UnverifiedNote(note.text, tuple(s for s in note.signatures if (s.name, s.key_id) in known)).to_bytes()


def require_name(name: object, where: str) -> None:
    """Refuse what no signature line can hold as a key's name.

    Raises:
        EvidenceError: it is empty, too long, or has a space, a plus or what is not printable.
    """
    fits = isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
    if not fits or re.search(r"[\s+]", str(name)):
        raise EvidenceError(where, f"expected a name of 1 to {MAX_NAME} characters without spaces and plus signs")


def _by_name(verifiers: Iterable[NoteVerifier]) -> dict[tuple[str, bytes], NoteVerifier]:
    known: dict[tuple[str, bytes], NoteVerifier] = {}
    for key in verifiers:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise EvidenceError("note keys", f"two different keys are both called {key.name}+{key.key_id.hex()}")
    return known


@keeps("R2.note")
def _verified(signature: Signature, key: NoteVerifier, text: str) -> int | None:
    """Return the time of a cosignature whose signature holds, None of another that holds."""
    stamp, data = (signature.data[:8], signature.data[8:]) if key.kind == COSIGNATURE else (None, signature.data)
    at = None if stamp is None else int.from_bytes(stamp, "big")
    if at is not None and at >= 2**63:
        raise EvidenceError(f"note, signature of {key.name}", "a time over 2^63 - 1")
    try:  # whatever its length is, one that is not 64 bytes long does not verify
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(data, _message(text, at))
    except (InvalidSignature, ValueError) as error:
        what = f"a signature of a key that you trust is of this text ({key.name})"
        raise VerificationError("R2.note", what, expected="one that verifies", got="one that does not") from error
    return at


def _message(text: str, at: int | None) -> bytes:
    return (text if at is None else f"cosignature/v1\ntime {at}\n{text}").encode()


def _signature(line: str, where: str) -> Signature:
    if not line.startswith(_DASH):
        raise EvidenceError(where, "expected an em dash, a space, a name, a space and base64")
    name, _, data = line.removeprefix(_DASH).partition(" ")
    require_name(name, where)
    blob = from_base64(data, where, limit=MAX_NOTE)
    if len(blob) <= 4:
        raise EvidenceError(where, "expected four bytes of a key's id and a signature")
    return Signature(name, blob[:4], blob[4:])


def _read_key(text: str, where: str) -> tuple[str, int, bytes]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise EvidenceError(where, "expected NAME+ID+KEY")
    require_name(parts[0], where)
    data = from_base64(parts[2], f"{where} {parts[0]}", limit=64)
    if len(data) != 33 or data[0] not in _KINDS:
        raise EvidenceError(f"{where} {parts[0]}", "expected one byte, 0x01 or 0x04, and 32 bytes of an Ed25519 key")
    return parts[0], data[0], data[1:]


def _require_id(key: NoteVerifier, said: str) -> None:
    if not _ID.fullmatch(said) or bytes.fromhex(said) != key.key_id:
        raise EvidenceError(f"note key {key.name}", "its id is not that of its name and bytes: is a character missing?")
