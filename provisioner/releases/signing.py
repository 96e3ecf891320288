"""Envelopes that wait for signatures: adding one, and putting together what several holders signed.

The file that is passed around is a DSSE envelope from the beginning, at first with no signature. Everybody who signs
it signs the same bytes, and every signature in it is looked at: it is of one of the publisher's keys, or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client_sdk.dsse import Envelope, assemble, key_id, pre_authentication_encoding, valid_signatures
from client_sdk.errors import AttestationError
from client_sdk.release import Release, read_release
from client_sdk.rotation import KeySet, Rotation, read_rotation
from client_sdk.transparency.formats.bundle import MAX_ENTRY
from provisioner.errors import Fault, ReleaseError, SpecError


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has to sign: the publisher's keys that are in force, and the rebuilders, each of whom vouches for a release.

    A rebuilder made the image anew from its source and found the same (rule R5). Rotations are none of their business.
    """

    keys: KeySet
    rebuilders: tuple[Ed25519PublicKey, ...] = ()

    def needed(self, statement: Release | Rotation) -> tuple[tuple[str, KeySet], ...]:
        """Return the sets whose threshold a statement needs, each with its name for people."""
        if isinstance(statement, Rotation):
            return (("the keys that are replaced", self.keys), ("the new keys", statement.following))
        beside = ("the rebuilders", KeySet(self.rebuilders, len(self.rebuilders))) if self.rebuilders else None
        return (("the publisher's keys", self.keys), *([beside] if beside else []))


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, or waits for it: a release or a rotation, and the sets whose threshold it needs, by name."""

    statement: Release | Rotation
    payload: bytes
    sets: tuple[tuple[str, KeySet], ...]
    signatures: tuple[tuple[Ed25519PublicKey, bytes], ...]

    @property
    def what(self) -> str:
        """What it is, in words."""
        if isinstance(self.statement, Release):
            return f"release {self.statement.number} of {self.statement.service}"
        return f"rotation {numbered(self.statement)}"

    @property
    def data(self) -> bytes:
        """The envelope: the same bytes whoever signed first."""
        return assemble(self.payload, self.signatures)

    @property
    def signers(self) -> tuple[str, ...]:
        """The ids of the keys that signed; every one is one of the publisher's."""
        return tuple(key_id(key) for key, _ in self.signatures)

    @property
    def missing(self) -> tuple[Fault, ...]:
        """What each set has too few signatures of."""
        signed = {key.public_bytes_raw() for key, _ in self.signatures}
        return tuple(
            Fault(name, f"signatures of {wanted.threshold} of {', '.join(wanted.names)}", self._of(wanted))
            for name, wanted in self.sets
            if sum(key.public_bytes_raw() in signed for key in wanted.keys) < wanted.threshold
        )

    def _of(self, wanted: KeySet) -> str:
        known = {key.public_bytes_raw() for key in wanted.keys}
        return ", ".join(key_id(key) for key, _ in self.signatures if key.public_bytes_raw() in known) or "none"


def numbered(rotation: Rotation) -> str:
    """Say which rotation it is: it has the number of the set that it leads to, and what clients pin first is set 1."""
    return f"{rotation.number} of the publisher's keys, from set {rotation.number - 1} to set {rotation.number}"


def read_statement(data: bytes, where: str) -> Release | Rotation:
    """Decode what an envelope is about. Nothing is verified.

    Raises:
        SpecError: it is neither a release nor a rotation.
    """
    found = []
    for read in (read_release, read_rotation):
        try:
            return read(data)
        except AttestationError as error:
            found.append(str(error))
    # What is more likely meant: the reader that got further than the statement's type.
    why = found[1] if "predicateType" in found[0] else found[0]
    raise SpecError((Fault(where, "a release or a rotation, signed or not yet", why),))


def open_signed(files: Mapping[str, bytes], holders: Holders) -> Signed:
    """Put together what the holders signed; ``files`` has each file by its name.

    Raises:
        SpecError: a file is neither a release nor a rotation.
        ReleaseError: two are not about the same bytes, or a signature is not of a key that it should be of.
    """
    opened = {}
    for name, data in files.items():
        statement = read_statement(data, name)
        opened[name] = (Envelope.from_json(data), statement)
    (first, (envelope, statement)), *others = opened.items()
    for name, (other, found) in others:
        if other.payload != envelope.payload:
            raise _different(first, statement, name, found)
    sets = holders.needed(statement)
    keys = tuple({key.public_bytes_raw(): key for _, wanted in sets for key in wanted.keys}.values())
    signatures: dict[bytes, tuple[Ed25519PublicKey, bytes]] = {}
    for name, (one, _) in opened.items():
        valid = valid_signatures(one, keys)
        _refuse_strangers(name, one, valid, sets)
        signatures |= {key.public_bytes_raw(): (key, signature) for key, signature in valid}
    ordered = tuple(signatures[raw] for raw in sorted(signatures))
    return Signed(statement, envelope.payload, sets, ordered)


def add_signature(signed: Signed, key: Ed25519PrivateKey, where: str) -> Signed:
    """Sign with one more key; who signed already changes nothing.

    Raises:
        ReleaseError: the key is none of those that may, or the file is too large for a log.
    """
    public = key.public_key()
    raw = public.public_bytes_raw()
    if raw not in {one.public_bytes_raw() for _, wanted in signed.sets for one in wanted.keys}:
        expected = f"one of the keys {_listed(signed.sets)}"
        remedy = (
            "sign with a key that --publisher names (or --rebuilder), or name the keys that are the publisher's now"
        )
        raise ReleaseError((Fault(where, expected, f"key {key_id(public)}"),), remedy)
    kept = {one.public_bytes_raw(): (one, signature) for one, signature in signed.signatures}
    kept.setdefault(raw, (public, key.sign(pre_authentication_encoding(signed.payload))))
    made = Signed(signed.statement, signed.payload, signed.sets, tuple(kept[one] for one in sorted(kept)))
    require_loggable(made.data, where)
    return made


def require_own(rotation: Rotation, keys: KeySet) -> None:
    """Refuse a rotation that neither replaces the publisher's keys nor leads to them.

    One holder alone may be the threshold of another set, which somebody else pinned: with his signature it is theirs.

    Raises:
        ReleaseError: it is of another set.
    """
    if keys.digest in (rotation.previous, rotation.following.digest):
        return
    expected = (
        f"the set of {keys.threshold} of {', '.join(keys.names)}, which --publisher names (SHA-256 {keys.digest.hex()})"
    )
    remedy = "do not sign it: ask who made it which keys it is about; or name with --publisher those that it replaces"
    raise ReleaseError((Fault("rotation.previous", expected, rotation.previous.hex()),), remedy)


def require_loggable(data: bytes, where: str) -> None:
    """Refuse what no log could hold.

    Raises:
        ReleaseError: it is too large.
    """
    if len(data) > MAX_ENTRY:
        fault = Fault(where, f"at most {MAX_ENTRY} bytes, which an entry of a log may have", f"{len(data)} bytes")
        raise ReleaseError((fault,), "give it fewer platforms, lists or revoked numbers, and create it again")


def _refuse_strangers(
    name: str, envelope: Envelope, valid: Iterable[tuple[Ed25519PublicKey, bytes]], sets: tuple[tuple[str, KeySet], ...]
) -> None:
    known = {signature for _, signature in valid}
    strange = [signature for signature in envelope.signatures if signature not in known]
    if strange:
        expected = f"signatures of the keys {_listed(sets)}, each over these very bytes"
        got = f"{len(strange)} that {'is' if len(strange) == 1 else 'are'} none of theirs"
        remedy = "do not sign it: somebody else signed it, or it was changed after it was signed; ask who made it"
        raise ReleaseError((Fault(name, expected, got),), remedy)


def _different(first: str, one: Release | Rotation, second: str, other: Release | Rotation) -> ReleaseError:
    if type(one) is not type(other):
        told = "one is a release, the other a rotation of keys"
    else:
        fields = [name for name in type(one).__slots__ if getattr(one, name) != getattr(other, name)]
        told = f"they differ in {', '.join(fields)}" if fields else "they say the same in other bytes"
    remedy = "agree on one of the files, and let everybody sign that one; no number may be given twice"
    return ReleaseError((Fault(second, f"the bytes that were signed in {first}", told),), remedy)


def _listed(sets: tuple[tuple[str, KeySet], ...]) -> str:
    return ", ".join(dict.fromkeys(name for _, wanted in sets for name in wanted.names))
