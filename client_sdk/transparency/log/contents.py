"""What the entries of a publisher's log say, one after the other, and whether the next one may follow (rules R1, R3).

An entry is the exact bytes of what the publisher signed: a release, or a rotation of his keys. What is asked of it
does not depend on any clock: a release that is out of date stays in the log, and nothing is asked about its dates.

Whoever pinned an earlier set of the publisher's keys, and is kept from the rotations, believes what that set signs. So
every earlier set is remembered, and what it signs after it was replaced is no stranger's entry (R3.rotated-away). What
was taken once and comes again proves nothing against anybody: in a log that several share, anybody can append it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.dsse import Envelope, signers
from client_sdk.encoding import canonical_json, from_base64, from_hex, strict_json, to_base64
from client_sdk.errors import DuplicateEntryError, EvidenceError, OutOfOrderError, VerificationError
from client_sdk.fields import exact_keys, integer, items, mapping, text, version
from client_sdk.publisher import Publisher
from client_sdk.release import Release, open_release
from client_sdk.rotation import PREDICATE_TYPE as ROTATION
from client_sdk.rotation import Rotation, read_rotation, verify_rotation
from client_sdk.rules import keeps
from client_sdk.transparency.formats.tiles import require_entry

VERSION = 2
MAX_SERVICES = 10_000
MAX_STATE = 4 * 1024 * 1024
REMEMBERED = 16_384
"""Entries of the publisher that are known again; an older one that comes again counts as out of order."""
_MAX_SETS = 512
_DIGEST = 32
_KEYS = frozenset({"version", "size", "publisher", "services", "rotation", "rotations", "earlier", "taken"})


class RotatedAwayError(VerificationError):
    """Keys signed it that the publisher has replaced; ``following``: where that leads whoever pinned them."""

    following: Publisher | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the publisher, verified: a release or a rotation, and the digest of its bytes."""

    index: int
    sha256: bytes
    said: Release | Rotation


@dataclass(frozen=True, slots=True)
class Contents:
    """A publisher's entries among the first ``size`` of a log: his keys after them, the last number of each service.

    ``services`` has number and digest of the last release; ``rotation`` the number of the set of keys, of which the
    first is 1; ``rotations`` says at which places the rotations are. ``earlier`` has his keys before those, the first
    ones first, and then those to which a rotation off the chain leads; ``taken`` the SHA-256 of what he signed.
    """

    publisher: Publisher
    size: int = 0
    services: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    rotation: int = 1
    rotations: tuple[int, ...] = ()
    earlier: tuple[Publisher, ...] = ()
    taken: tuple[bytes, ...] = ()

    @property
    def first(self) -> Publisher:
        """The publisher with his first keys: those that the caller named."""
        return self.earlier[0] if self.earlier else self.publisher

    def take(self, data: bytes) -> tuple[Contents, Entry]:
        """Return what there is when this entry follows.

        Raises:
            EvidenceError: it is malformed, or too long for a log.
            VerificationError: R1, the publisher did not sign it.
            RotatedAwayError: R3.rotated-away, he did not, but keys of his did that he has replaced.
            DuplicateEntryError: what he signed there is in the log already.
            OutOfOrderError: its number is not above the last one.
        """
        require_entry(data, "entry")
        take = self._rotated if is_rotation(data) else self._released
        try:
            return take(data)
        except VerificationError as error:
            self._require_not_replaced(data, error)
            raise

    def skip(self, following: Publisher | None = None) -> Contents:
        """Return what there is when an entry follows that is not taken; ``following`` is of a ``RotatedAwayError``."""
        known = following is None or len(self.earlier) >= _MAX_SETS or any(same(following, it) for it in self.earlier)
        earlier = self.earlier if known or following is None else (*self.earlier, following)
        return replace(self, size=self.size + 1, earlier=earlier)

    def _released(self, data: bytes) -> tuple[Contents, Entry]:
        release, digest = open_release(data, self.publisher), sha256(data).digest()
        number = self.services.get(release.service, (0, b""))[0]
        told = f"release {release.number} of {release.service}"
        if release.number <= number:
            if _signed_part(data) in self.taken:
                raise DuplicateEntryError(f"{told} is in the log already")
            raise OutOfOrderError(f"{told} follows release {number}: publish it under a number that was never given")
        if release.service not in self.services and len(self.services) >= MAX_SERVICES:
            raise EvidenceError("entry", f"a log has at most {MAX_SERVICES} services")
        services = self.services | {release.service: (release.number, digest)}
        taken = self._taken(data)
        return replace(self, size=self.size + 1, services=services, taken=taken), Entry(self.size, digest, release)

    def _rotated(self, data: bytes) -> tuple[Contents, Entry]:
        rotation, digest = read_rotation(data), sha256(data).digest()
        told = f"rotation {rotation.number} follows the keys' set number {self.rotation}"
        if rotation.number <= self.rotation:
            if _signed_part(data) in self.taken:
                raise DuplicateEntryError(f"{told}: it is in the log already")
            self._require_ours(data)
            raise OutOfOrderError(f"{told}: is it in the log?")
        following = replace(
            self,
            publisher=verify_rotation(data, self.publisher),
            size=self.size + 1,
            rotation=rotation.number,
            rotations=(*self.rotations, self.size),
            earlier=(*self.earlier, self.publisher),
            taken=self._taken(data),
        )
        return following, Entry(self.size, digest, rotation)

    @keeps("R1")
    def _require_ours(self, data: bytes) -> None:
        """Refuse a rotation that the present keys did not sign: whose it is comes before whether it is in order."""
        if not _meets(data, self.publisher):
            what, wanted = "the publisher's present keys signed the rotation", f"{self.publisher.threshold} of them"
            raise VerificationError("R1", what, expected=wanted, got="fewer")

    @keeps("R3.rotated-away")
    def _require_not_replaced(self, data: bytes, error: VerificationError) -> None:
        """Say what keys of the publisher signed after he had replaced them: whoever pinned those believes it."""
        found = next((earlier for earlier in self.earlier if _meets(data, earlier)), None)
        if found is None:
            return
        if _signed_part(data) in self.taken:
            raise DuplicateEntryError("an entry from before the keys changed is in the log already") from error
        away = RotatedAwayError(
            "R3.rotated-away",
            "keys that the publisher has replaced sign nothing more: clients that pinned them believe it",
            expected=f"signatures of {self.publisher.threshold} of {self.publisher.names}",
            got=f"those of {found.threshold} of {found.names}",
        )
        away.following = led_to(data, self.earlier)
        raise away from error

    def _taken(self, data: bytes) -> tuple[bytes, ...]:
        return (*self.taken[-(REMEMBERED - 1) :], _signed_part(data))

    def to_json(self) -> bytes:
        """Write it, for a file of one's own."""
        services = {name: {"number": last[0], "sha256": last[1].hex()} for name, last in self.services.items()}
        return canonical_json(
            {
                "version": VERSION,
                "size": self.size,
                "publisher": publisher_to_dict(self.publisher),
                "services": services,
                "rotation": self.rotation,
                "rotations": list(self.rotations),
                "earlier": [publisher_to_dict(earlier) for earlier in self.earlier],
                "taken": to_base64(b"".join(self.taken)),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Contents:
        """Read it.

        Raises:
            EvidenceError: it is something else.
        """
        top = exact_keys(strict_json(data, limit=MAX_STATE), _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        services = mapping(top["services"], "$.services", limit=MAX_SERVICES)
        taken = from_base64(top["taken"], "$.taken", limit=REMEMBERED * _DIGEST)
        if len(taken) % _DIGEST:
            raise EvidenceError("$.taken", "not digests")
        return cls(
            publisher_from(top["publisher"], "$.publisher"),
            integer(top["size"], "$.size"),
            {text(name, "$.services"): _last(last, f"$.services.{name}") for name, last in services.items()},
            integer(top["rotation"], "$.rotation", low=1),
            tuple(integer(at, "$.rotations") for at in items(top["rotations"], "$.rotations")),
            tuple(publisher_from(one, "$.earlier") for one in items(top["earlier"], "$.earlier")),
            tuple(taken[start : start + _DIGEST] for start in range(0, len(taken), _DIGEST)),
        )


def is_rotation(data: bytes) -> bool:
    """Tell whether an entry says of itself that it is a rotation; nothing is verified.

    Raises:
        EvidenceError: it is no envelope of a statement.
        VerificationError: R1, it is an envelope of something else.
    """
    top = strict_json(Envelope.from_json(data).payload)
    if not isinstance(top, dict):
        raise EvidenceError("$", "not an object")
    return top.get("predicateType") == ROTATION


def same(one: Publisher, other: Publisher) -> bool:
    """Tell whether two pins are of the same keys, in whatever order, with the same threshold."""
    keys = ({key.public_bytes_raw() for key in publisher.public_keys} for publisher in (one, other))
    return one.threshold == other.threshold and next(keys) == next(keys)


def publisher_to_dict(publisher: Publisher) -> dict[str, Any]:
    """Write whom a log is of: keys in hex, and how many of them must sign."""
    return {"keys": [key.public_bytes_raw().hex() for key in publisher.public_keys], "threshold": publisher.threshold}


def publisher_from(value: Any, where: str) -> Publisher:
    """Read whom a log is of.

    Raises:
        EvidenceError: it is something else.
    """
    fields = exact_keys(value, frozenset({"keys", "threshold"}), where)
    keys = items(fields["keys"], f"{where}.keys", limit=64)
    raw = [from_hex(key, f"{where}.keys[{i}]", size=32) for i, key in enumerate(keys)]
    threshold = integer(fields["threshold"], f"{where}.threshold", low=1)
    return Publisher(tuple(map(Ed25519PublicKey.from_public_bytes, raw)), threshold)


def _last(value: Any, where: str) -> tuple[int, bytes]:
    fields = exact_keys(value, frozenset({"number", "sha256"}), where)
    return integer(fields["number"], f"{where}.number", low=1), from_hex(fields["sha256"], f"{where}.sha256", size=32)


def _signed_part(data: bytes) -> bytes:
    """Return the digest of what an entry's signatures are over: the envelope around it anybody can write anew."""
    return sha256(Envelope.from_json(data).payload).digest()


def _meets(data: bytes, publisher: Publisher) -> bool:
    return len(signers(Envelope.from_json(data), publisher.public_keys)) >= publisher.threshold


def led_to(data: bytes, sets: tuple[Publisher, ...]) -> Publisher | None:
    """Return the keys to which an entry leads whoever pinned one of these sets, where it is a rotation of one."""
    for earlier in sets if is_rotation(data) else ():
        try:
            return verify_rotation(data, earlier)
        except (EvidenceError, VerificationError):
            continue
    return None
