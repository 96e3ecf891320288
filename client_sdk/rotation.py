"""Rotation of a publisher's keys: who pinned one set learns of the next from the set that it replaces (rule R1).

A rotation is an in-toto Statement v1 in a DSSE envelope, as a release is, with a predicate of its own. What makes it
valid is what the TUF specification (section 5.3, "Update the root role") asks of a new root: the threshold of the
previous set signed it, the threshold of the new set signed it too, and it follows directly. The second shows that the
new keys exist and that their holders agree.

A rotation proves what the previous set wanted. It does not prove that others see it: for that, a client that pins a
log asks for a proof that the log has it (``transparency/client/judge.py``); nothing here does. Nor does it prove that
there is no later one: whoever kept the keys of a set that was replaced, and cuts a client off from what came after, is
refused by a client whose memory has the later one. One without can be led astray by them still, though with a log not
unseen: what leads it, and the release, are entries there. Nor that it is the only one of its set: two that fork are
refused where both are at hand (``join_rotations``), and of two that a log has each is proven like any entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client_sdk.dsse import MAX_SIGNATURES, Envelope, key_id, sign, signers
from client_sdk.encoding import canonical_json, from_hex, lp, strict_json
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.fields import exact_keys, integer, items, version
from client_sdk.given import require_bytes
from client_sdk.publisher import Publisher, require_publisher
from client_sdk.release import STATEMENT_TYPE
from client_sdk.report import Ledger, show
from client_sdk.rules import keeps

VERSION = 1
PREDICATE_TYPE = "urn:vitrine:publisher-keys/v1"
SUBJECT = "publisher-keys"
FIRST = 2
"""The number of the first rotation: the set that it replaces is the first."""
MAX_KEYS = MAX_SIGNATURES // 2  # an envelope has room for a signature of each, of two sets
MAX_ROTATIONS = 256
_PREFIX = b"vitrine/publisher-keys/v1"
_KEYS = frozenset({"version", "number", "previous_sha256", "keys", "threshold"})


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys, and how many of them must sign. In which order they are given says nothing.

    Raises:
        EvidenceError: no key, too many, one twice, or a threshold that cannot be met.
    """

    keys: tuple[Ed25519PublicKey, ...]
    threshold: int = 1

    def __post_init__(self) -> None:
        if len(self.keys) > MAX_KEYS:
            raise EvidenceError("publisher.keys", f"expected at most {MAX_KEYS} keys, got {len(self.keys)}")
        Publisher(keys=self.keys, threshold=self.threshold)  # a set is what somebody can pin

    @classmethod
    def of(cls, publisher: Publisher) -> KeySet:
        """Return the set that a publisher's pin has."""
        return cls(publisher.public_keys, publisher.threshold)

    @property
    def digest(self) -> bytes:
        """The name of the set: SHA-256 over a prefix and the canonical JSON of its keys and threshold."""
        return sha256(_PREFIX + lp(canonical_json(self.as_dict()))).digest()

    @property
    def holders(self) -> bytes:
        """The name of the keys alone, however many of them must sign."""
        keys = canonical_json({"keys": self.as_dict()["keys"]})
        return sha256(_PREFIX + lp(keys)).digest()

    @property
    def names(self) -> tuple[str, ...]:
        """The key ids, for people, in the order of the format."""
        return tuple(key_id(key) for key in self._ordered)

    @property
    def _ordered(self) -> tuple[Ed25519PublicKey, ...]:
        return tuple(sorted(self.keys, key=lambda key: key.public_bytes_raw()))

    def as_dict(self) -> dict[str, Any]:
        """Return what the format says of a set."""
        return {"keys": [key.public_bytes_raw().hex() for key in self._ordered], "threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class Rotation:
    """The predicate of a rotation: ``previous`` is the digest of the set that ``following`` replaces."""

    number: int
    previous: bytes
    following: KeySet

    def to_statement(self) -> bytes:
        """Serialise as an in-toto Statement v1, canonical JSON: the bytes that get signed."""
        predicate = {"version": VERSION, "number": self.number, "previous_sha256": self.previous.hex()}
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [_subject(self.following)],
                "predicateType": PREDICATE_TYPE,
                "predicate": predicate | self.following.as_dict(),
            }
        )


def rotate(previous: KeySet, following: KeySet, *, number: int, keys: tuple[Ed25519PrivateKey, ...] = ()) -> bytes:
    """Make a rotation, signed by these keys; without any it waits for the signatures of their holders.

    Raises:
        EvidenceError: the set stays the same, or the number is none of a rotation.
    """
    integer(number, "rotation.number", low=FIRST)
    if previous.digest == following.digest:
        raise EvidenceError("rotation.keys", "the new keys are the previous ones, with the same threshold")
    return sign(Rotation(number, previous.digest, following).to_statement(), keys)


def read_rotation(data: bytes) -> Rotation:
    """Decode a rotation. Nothing is verified: this is for showing it, and for finding out whose signatures it needs.

    Raises:
        EvidenceError: it is malformed, or something else.
        VerificationError: R1, it is an envelope of something else.
    """
    require_bytes(data, "rotation")
    return _from_statement(Envelope.from_json(data).payload)


@keeps("R1")
def verify_rotation(envelope: bytes, publisher: Publisher, *, ledger: Ledger | None = None) -> Publisher:
    """Return the publisher with the keys that follow; whatever else is pinned of him (his log, say) stays.

    (1) R1: the threshold of the pinned set signed the payload.
    (2) F1: the payload is a rotation v1 and nothing else.
    (3) R1: it replaces the pinned set, not another one.
    (4) R1: the threshold of the new set signed it as well.

    Raises:
        EvidenceError: the file is malformed, or an argument is of another type.
        VerificationError: R1.
    """
    require_bytes(envelope, "rotation")
    require_publisher(publisher)
    recorded, pinned = ledger or Ledger(), KeySet.of(publisher)
    opened = Envelope.from_json(envelope)  # (2), in part
    _signed(opened, pinned, "the rotation is signed by the keys that it replaces", recorded)  # (1)
    rotation = _from_statement(opened.payload)  # (2)
    recorded.equal(  # (3)
        "R1",
        f"the rotation ({rotation.number}) is of the keys that you pinned, or of those that followed them",
        expected=pinned.digest,
        got=rotation.previous,
    )
    _signed(opened, rotation.following, "the rotation is signed by the new keys as well", recorded)  # (4)
    return replace(publisher, keys=rotation.following.keys, threshold=rotation.following.threshold)


@dataclass(frozen=True, slots=True)
class Chain:
    """Rotations of one publisher's keys, each as it was signed and as it reads, in the order in which they came.

    Nothing is verified, nor that each is the one after the one before it: that is what ``require_whole`` is for.
    """

    envelopes: tuple[bytes, ...] = ()
    rotations: tuple[Rotation, ...] = ()

    @classmethod
    def read(cls, envelopes: Sequence[bytes]) -> Chain:
        """Read each of them, once.

        Raises:
            EvidenceError: one is malformed.
            VerificationError: R1, one is an envelope of something else.
        """
        return cls(tuple(envelopes), tuple(map(read_rotation, envelopes)))

    def after(self, digest: bytes) -> Chain | None:
        """Return what leads on from a set of keys: nothing from the last one, None where the set is not in it."""
        for place, rotation in enumerate(self.rotations):
            if rotation.previous == digest:
                return self.beyond(place)
        return Chain() if self.rotations and self.rotations[-1].following.digest == digest else None

    def beyond(self, place: int) -> Chain:
        """Return it without the first of them."""
        return Chain(self.envelopes[place:], self.rotations[place:])

    @keeps("R1")
    def require_whole(self) -> None:
        """Refuse a gap, another order, and what was put in between.

        Raises:
            EvidenceError: there are too many.
            VerificationError: R1.
        """
        _require_few(self.envelopes)
        for before, after in pairwise(self.rotations):
            expected, got = (before.number + 1, before.following.digest), (after.number, after.previous)
            if expected != got:
                message = f"each rotation is the one after the one before it (rotation {after.number})"
                raise VerificationError("R1", message, expected=show(expected), got=show(got))

    @keeps("R1")
    def joined(self, other: Chain) -> Chain:
        """Return the one that has both: what comes first up to where the other joins it, and what follows.

        Raises:
            EvidenceError: there are too many.
            VerificationError: R1, no such chain exists: there is a gap between both, or they lead to different keys.
        """
        if not self.rotations or not other.rotations:
            return self if self.rotations else other
        first, second = sorted((self, other), key=lambda chain: chain.rotations[0].number)
        place = second.rotations[0].number - first.rotations[0].number
        for one, two in zip(first.rotations[place:], second.rotations, strict=False):
            if one.to_statement() != two.to_statement():
                message = f"there is one rotation of this number ({one.number}), and it leads to the same keys"
                expected, got = (", ".join(rotation.following.names) for rotation in (one, two))
                raise VerificationError("R1", message, expected=expected, got=got)
        rest = first.beyond(place + len(second.rotations))
        joined = Chain(
            first.envelopes[:place] + second.envelopes + rest.envelopes,
            first.rotations[:place] + second.rotations + rest.rotations,
        )
        joined.require_whole()
        return joined


@keeps("R1")
def verify_rotations(envelopes: Sequence[bytes], publisher: Publisher, *, ledger: Ledger | None = None) -> Publisher:
    """Return the publisher with the newest of his keys, by his rotations from the oldest on.

    Those from before the caller's pin are left aside: of their signatures nothing can be known, and nothing depends
    on them. All of them must form one chain (each directly follows the one before), and the pin must be in it.

    Raises:
        EvidenceError: a file is malformed, or there are too many.
        VerificationError: R1, with what to do.
    """
    require_publisher(publisher)
    _require_few(envelopes)
    if not envelopes:
        return publisher
    chain = Chain.read(envelopes)
    chain.require_whole()
    following = chain.after(KeySet.of(publisher).digest)
    if following is None:
        newest = ", ".join(chain.rotations[-1].following.names)
        told = f"one of {len(chain.rotations) + 1} sets, of which the newest is {newest}"
        message = "the keys that you pinned are in the publisher's rotations (else ask the publisher for his keys)"
        raise VerificationError("R1", message, expected=told, got=publisher.names)
    for envelope in following.envelopes:
        publisher = verify_rotation(envelope, publisher, ledger=ledger)
    return publisher


def join_rotations(known: Sequence[bytes], other: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the one chain that has both, whichever comes first and however long each is.

    How long a chain is says nothing of how far it leads. No signature is verified here.

    Raises:
        EvidenceError: a file is malformed, or there are too many.
        VerificationError: R1, no such chain exists: there is a gap between both, or they lead to different keys.
    """
    if not known or not other:
        return tuple(known or other)
    return Chain.read(known).joined(Chain.read(other)).envelopes


def _require_few(envelopes: Sequence[bytes]) -> None:
    """Refuse more than anybody makes, before any of them is read."""
    if len(envelopes) > MAX_ROTATIONS:
        raise EvidenceError("rotations", f"expected at most {MAX_ROTATIONS}, got {len(envelopes)}")


@keeps("R1")
def _signed(envelope: Envelope, wanted: KeySet, what: str, ledger: Ledger) -> None:
    found = signers(envelope, wanted.keys)
    ledger.holds(
        "R1",
        what,
        expected=f"{wanted.threshold} of {', '.join(wanted.names)}",
        got=tuple(key_id(key) for key in found) or "no valid signature of theirs",
        condition=len(found) >= wanted.threshold,
    )


def _subject(following: KeySet) -> dict[str, Any]:
    return {"name": SUBJECT, "digest": {"sha256": following.digest.hex()}}


def _from_statement(payload: bytes) -> Rotation:
    top = exact_keys(strict_json(payload), frozenset({"_type", "subject", "predicateType", "predicate"}), "$")
    for key, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if top[key] != wanted:
            raise EvidenceError(f"$.{key}", f"expected {wanted}")
    fields = exact_keys(top["predicate"], _KEYS, "$.predicate")
    version(fields["version"], "$.predicate.version", VERSION)
    found = items(fields["keys"], "$.predicate.keys", limit=MAX_KEYS)
    raw = [from_hex(item, f"$.predicate.keys[{i}]", size=32) for i, item in enumerate(found)]
    if raw != sorted(raw):
        raise EvidenceError("$.predicate.keys", "not in order")
    rotation = Rotation(
        number=integer(fields["number"], "$.predicate.number", low=FIRST),
        previous=from_hex(fields["previous_sha256"], "$.predicate.previous_sha256", size=32),
        following=KeySet(
            tuple(Ed25519PublicKey.from_public_bytes(item) for item in raw),
            integer(fields["threshold"], "$.predicate.threshold", low=1),
        ),
    )
    if top["subject"] != [_subject(rotation.following)]:
        raise EvidenceError("$.subject", "does not name the predicate's keys")
    if rotation.previous == rotation.following.digest:
        raise EvidenceError("$.predicate.previous_sha256", "the set replaces itself")
    return rotation
