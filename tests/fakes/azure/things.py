"""What the fake cloud has."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

SUBSCRIPTION = "00000000-0000-0000-0000-00000000feed"
LOCATIONS = {"eastus2", "westeurope", "centralus"}


@dataclass
class Thing:
    """One resource. ``ticks`` counts how often it is looked at until what is done to it is done."""

    id: str
    kind: str
    body: dict
    ticks: int = 0
    then: str = "Succeeded"
    error: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]

    @property
    def properties(self) -> dict:
        return self.body.setdefault("properties", {})

    @property
    def state(self) -> str:
        return self.properties.get("provisioningState", "Succeeded")


@dataclass
class Cloud:
    """All that there is in one subscription, and what can be set to go wrong."""

    things: dict[str, Thing] = field(default_factory=dict)
    quota: dict[str, int] = field(default_factory=dict)
    no_capacity: set[str] = field(default_factory=set)
    fail: list[tuple[str, str, str]] = field(default_factory=list)
    blobs: dict[str, Blob] = field(default_factory=dict)
    images: dict[str, tuple[Blob, ...]] = field(default_factory=dict)  # a version's own copies: boot disk, then data
    serial: int = 0

    def fresh(self) -> str:
        """Return a part of a name that was not used yet; the same run of calls gets the same."""
        self.serial += 1
        return f"{self.serial:08x}"

    def digest(self) -> str:
        """Name the state: what there is, how far it is, which bytes are written."""
        things = [(one.id, one.body, one.ticks, one.then, one.error) for one in self.things.values()]
        blobs = [(name, bool(blob.key), blob.ranges()) for name, blob in self.blobs.items()]
        return hashlib.sha256(json.dumps([sorted(things, key=lambda one: one[0]), sorted(blobs)]).encode()).hexdigest()

    def find(self, identity: str) -> Thing | None:
        return self.things.get(identity.lower())

    def of(self, kind: str, below: str = "") -> list[Thing]:
        return [one for one in self.things.values() if one.kind == kind and one.id.lower().startswith(below.lower())]

    def users(self, thing: Thing) -> list[Thing]:
        """Return what names a thing or a part of it."""
        wanted = thing.id.lower()
        return [
            other
            for other in self.things.values()
            if other is not thing
            and not other.id.lower().startswith(f"{wanted}/")
            and any(one == wanted or one.startswith(f"{wanted}/") for one in map(str.lower, references(other.body)))
        ]


@dataclass
class Blob:
    """The bytes of a disk that is open to be written: only what was written."""

    size: int
    key: str
    pages: dict[int, bytes] = field(default_factory=dict)

    def ranges(self) -> list[tuple[int, int]]:
        return [(start, start + len(block) - 1) for start, block in sorted(self.pages.items())]

    def read(self, start: int, length: int) -> bytes:
        found = bytearray(length)
        for offset, block in self.pages.items():
            low, high = max(offset, start), min(offset + len(block), start + length)
            if low < high:
                found[low - start : high - start] = block[low - offset : high - offset]
        return bytes(found)


_ID = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/.+", re.IGNORECASE)


def references(value: object, *, top: bool = True) -> list[str]:
    """Return every id of a resource in a body, but for its own and for the image that a disk is a copy of."""
    if isinstance(value, dict):
        return [
            one
            for key, inner in value.items()
            if not (top and key == "id") and key not in ("tags", "_seen", "galleryImageReference")
            for one in references(inner, top=False)
        ]
    if isinstance(value, list):
        return [one for inner in value for one in references(inner, top=False)]
    return [value] if isinstance(value, str) and _ID.fullmatch(value) else []
