"""What a client remembers of publishers and logs, as values (rules R3 and R6).

Of each publisher: the sets of keys that he had, with the rotations that lead from one to the next; of each of his
services the highest number of a release, and which numbers were revoked by which. Of each log: the largest tree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from client_sdk.encoding import canonical_json, from_base64, from_hex, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, format_instant, instant, integer, items, mapping, text, version
from client_sdk.rotation import join_rotations

VERSION = 1
MAX_FILE = 4 * 1024 * 1024
MAX_REVOKED = 10_000
MAX_CHECKPOINT = 64 * 1024
_KEYS = frozenset({"version", "since", "publishers", "logs"})


@dataclass(frozen=True, slots=True)
class Service:
    """The highest number of a service's releases, and revoked numbers with the number that revoked each."""

    number: int
    revoked: tuple[tuple[int, int], ...] = ()

    def joined(self, other: Service) -> Service:
        """Return what both say."""
        revoked = tuple(sorted((dict(other.revoked) | dict(self.revoked)).items()))
        return Service(max(self.number, other.number), revoked[-MAX_REVOKED:])


@dataclass(frozen=True, slots=True)
class Known:
    """One publisher: digests of his sets of keys, his rotations from the oldest on, and his services.

    A set that was pinned has two digests: with its threshold, as rotations name it, and of the keys alone. One that a
    rotation led to has the first alone: else a few of its holders could claim it for another publisher.
    """

    sets: frozenset[bytes] = frozenset()
    rotations: tuple[bytes, ...] = ()
    services: tuple[tuple[str, Service], ...] = ()

    def service(self, name: str) -> Service | None:
        """Return what is remembered of a service."""
        return dict(self.services).get(name)

    def joined(self, other: Known) -> Known:
        """Return what both say; rotations of both are one chain.

        Raises:
            VerificationError: R1, they are not.
        """
        services = dict(self.services)
        for name, service in other.services:
            services[name] = services[name].joined(service) if name in services else service
        rotations = join_rotations(self.rotations, other.rotations)
        return Known(self.sets | other.sets, rotations, tuple(sorted(services.items())))


@dataclass(frozen=True, slots=True)
class Tree:
    """The size and the root of a log's tree, and the note in which the log and pinned witnesses signed both."""

    size: int
    root: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is remembered, and since when; ``trees`` by the text of the log's key."""

    publishers: tuple[Known, ...] = ()
    trees: tuple[tuple[str, Tree], ...] = ()
    since: datetime | None = None

    def known(self, *keys: bytes) -> Known:
        """Return what is remembered of the publisher who has or had this set of keys, under any of its names."""
        found = Known(frozenset(keys))
        for known in self.publishers:
            if found.sets & known.sets:
                found = found.joined(known)
        return found

    def tree(self, log: str) -> Tree | None:
        """Return the largest tree of a log."""
        return dict(self.trees).get(log)

    def with_known(self, known: Known) -> Seen:
        """Replace what is remembered of a publisher, under whichever of his keys.

        Raises:
            VerificationError: R1, what is remembered under others of his keys leads elsewhere.
        """
        others: list[Known] = []
        for other in self.publishers:
            if other.sets & known.sets:
                known = known.joined(other)
            else:
                others.append(other)
        return replace(self, publishers=(*others, known))

    def with_tree(self, log: str, tree: Tree) -> Seen:
        """Replace the tree of a log."""
        return replace(self, trees=tuple(sorted((dict(self.trees) | {log: tree}).items())))

    def to_json(self) -> bytes:
        """Serialise as canonical JSON."""
        return canonical_json(
            {
                "version": VERSION,
                "since": None if self.since is None else format_instant(self.since),
                "publishers": [_of_publisher(known) for known in self.publishers],
                "logs": {
                    log: {"size": tree.size, "root": tree.root.hex(), "checkpoint": tree.note}
                    for log, tree in self.trees
                },
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Seen:
        """Decode what was written.

        Raises:
            EvidenceError: it is anything else: half a file, say.
        """
        top = exact_keys(strict_json(data, limit=MAX_FILE), _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        since = None if top["since"] is None else instant(top["since"], "$.since")
        publishers = items(top["publishers"], "$.publishers", limit=10_000)
        logs = mapping(top["logs"], "$.logs", limit=10_000)
        return cls(
            tuple(_publisher(item, f"$.publishers[{i}]") for i, item in enumerate(publishers)),
            tuple((text(log, "$.logs"), _tree(item, f"$.logs.{log}")) for log, item in sorted(logs.items())),
            since,
        )


def _of_publisher(known: Known) -> dict[str, Any]:
    return {
        "keys": sorted(one.hex() for one in known.sets),
        "rotations": [to_base64(one) for one in known.rotations],
        "services": {
            name: {"number": service.number, "revoked": {str(gone): by for gone, by in service.revoked}}
            for name, service in known.services
        },
    }


def _publisher(value: Any, where: str) -> Known:
    fields = exact_keys(value, frozenset({"keys", "rotations", "services"}), where)
    sets = items(fields["keys"], f"{where}.keys", limit=1024)
    rotations = items(fields["rotations"], f"{where}.rotations", limit=1024)
    services = mapping(fields["services"], f"{where}.services", limit=10_000)
    return Known(
        frozenset(from_hex(one, f"{where}.keys[{i}]", size=32) for i, one in enumerate(sets)),
        tuple(from_base64(one, f"{where}.rotations[{i}]") for i, one in enumerate(rotations)),
        tuple((name, _service(services[name], f"{where}.services.{name}")) for name in sorted(services)),
    )


def _service(value: Any, where: str) -> Service:
    fields = exact_keys(value, frozenset({"number", "revoked"}), where)
    revoked = mapping(fields["revoked"], f"{where}.revoked", limit=MAX_REVOKED)
    return Service(
        integer(fields["number"], f"{where}.number", low=1),
        tuple(sorted((_number(gone, where), integer(by, f"{where}.revoked", low=1)) for gone, by in revoked.items())),
    )


def _number(digits: str, where: str) -> int:
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
        raise EvidenceError(f"{where}.revoked", "not the number of a release")
    return int(digits)


def _tree(value: Any, where: str) -> Tree:
    fields = exact_keys(value, frozenset({"size", "root", "checkpoint"}), where)
    if not isinstance(fields["checkpoint"], str) or len(fields["checkpoint"]) > MAX_CHECKPOINT:
        raise EvidenceError(f"{where}.checkpoint", f"not a text of at most {MAX_CHECKPOINT} characters")
    root = from_hex(fields["root"], f"{where}.root", size=32)
    return Tree(integer(fields["size"], f"{where}.size"), root, fields["checkpoint"])
