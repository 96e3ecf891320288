"""What the entries of a publisher's log say, one after the other, and whether the next one may follow (rules R1, R3).

An entry is the exact bytes of what the publisher signed: a release, or a rotation of his keys. What is asked of it
does not depend on any clock: a release that is out of date stays in the log, and nothing is asked about its dates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.dsse import Envelope, signers
from client_sdk.encoding import canonical_json, from_hex, strict_json
from client_sdk.errors import DuplicateEntryError, EvidenceError, OutOfOrderError, VerificationError
from client_sdk.fields import exact_keys, integer, items, mapping, text, version
from client_sdk.publisher import Publisher
from client_sdk.release import Release, open_release
from client_sdk.rotation import PREDICATE_TYPE as ROTATION
from client_sdk.rotation import KeySet, Rotation, read_rotation, verify_rotation
from client_sdk.transparency.tiles import require_entry

VERSION = 1
MAX_SERVICES = 10_000
MAX_STATE = 4 * 1024 * 1024
_KEYS = frozenset({"version", "size", "publisher", "services", "rotation", "rotations"})


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
    first is 1; ``rotations`` says at which places the rotations are.
    """

    publisher: Publisher
    size: int = 0
    services: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    rotation: int = 1
    rotations: tuple[int, ...] = ()

    def take(self, data: bytes) -> tuple[Contents, Entry]:
        """Return what there is when this entry follows.

        Raises:
            EvidenceError: it is malformed, or too long for a log.
            VerificationError: R1, the publisher did not sign it.
            DuplicateEntryError: it is the last release of its service, or the last rotation.
            OutOfOrderError: its number is not above the last one.
        """
        require_entry(data, "entry")
        return self._rotated(data) if is_rotation(data) else self._released(data)

    def skip(self) -> Contents:
        """Return what there is when an entry follows that is not the publisher's."""
        return replace(self, size=self.size + 1)

    def _released(self, data: bytes) -> tuple[Contents, Entry]:
        release, digest = open_release(data, self.publisher), sha256(data).digest()
        number, last = self.services.get(release.service, (0, b""))
        told = f"release {release.number} of {release.service}"
        if digest == last:
            raise DuplicateEntryError(f"{told} is in the log already")
        if release.number <= number:
            raise OutOfOrderError(f"{told} follows release {number}: publish it under a number that was never given")
        if release.service not in self.services and len(self.services) >= MAX_SERVICES:
            raise EvidenceError("entry", f"a log has at most {MAX_SERVICES} services")
        services = self.services | {release.service: (release.number, digest)}
        return replace(self, size=self.size + 1, services=services), Entry(self.size, digest, release)

    def _rotated(self, data: bytes) -> tuple[Contents, Entry]:
        rotation, digest = read_rotation(data), sha256(data).digest()
        if rotation.number <= self.rotation:
            self._require_ours(data)
            same = rotation.following.digest == KeySet.of(self.publisher).digest
            error = DuplicateEntryError if rotation.number == self.rotation and same else OutOfOrderError
            raise error(f"rotation {rotation.number} follows the keys' set number {self.rotation}: is it in the log?")
        following = replace(
            self,
            publisher=verify_rotation(data, self.publisher),
            size=self.size + 1,
            rotation=rotation.number,
            rotations=(*self.rotations, self.size),
        )
        return following, Entry(self.size, digest, rotation)

    def _require_ours(self, data: bytes) -> None:
        """Refuse a rotation that the present keys did not sign: whose it is comes before whether it is in order.

        One that only an earlier set of the same publisher signed counts as somebody else's.
        """
        signed, needed = len(signers(Envelope.from_json(data), self.publisher.public_keys)), self.publisher.threshold
        if signed < needed:
            what = "the publisher's present keys signed the rotation"
            raise VerificationError("R1", what, expected=f"{needed} of them", got=f"{signed} of them")

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
        return cls(
            publisher_from(top["publisher"], "$.publisher"),
            integer(top["size"], "$.size"),
            {text(name, "$.services"): _last(last, f"$.services.{name}") for name, last in services.items()},
            integer(top["rotation"], "$.rotation", low=1),
            tuple(integer(at, "$.rotations") for at in items(top["rotations"], "$.rotations")),
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
