"""What a plan wants a cloud to have, and what a cloud says that it has: data that every cloud shares.

A resource's body is what the vendor's API takes, word for word, so that a plan can be read beside the vendor's
documentation. What was made is marked with the deployment's name and a digest of the body: the mark is all that tells
ours from others', and as planned from changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["ready", "pending", "failed"]
DIGEST_SIZE = 40  # characters of a mark's digest: fits every vendor's labels


@dataclass(frozen=True, slots=True)
class Key:
    """Names one resource of a deployment: its kind, and its name among that kind."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What we write on whatever we make: whose it is, and which body it was made from."""

    deployment: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing to have. ``needs`` are the resources that must be there first; they stand before it in its plan.

    ``source`` is a file whose bytes go there, with their SHA-256 in the body. ``meter`` says what its existence costs,
    in the vendor's own unit and never in money; empty where it costs nothing. ``note`` says to people why it is there.
    """

    key: Key
    body: Mapping[str, Any]
    needs: tuple[Key, ...] = ()
    source: Path | None = None
    meter: str = ""
    note: str = ""

    @property
    def digest(self) -> str:
        """Name this body: two resources of one key with the same digest are the same."""
        text = json.dumps(self.body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_SIZE]


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a cloud has. ``mark`` is None on what we did not make: that is never changed or deleted."""

    key: Key
    mark: Mark | None
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePlan:
    """Everything that one deployment has in a cloud, each after what it needs; made from a spec, without effects.

    ``kept`` are things of an earlier plan that stay as they are: neither changed nor deleted, whatever they were made
    from. That the cloud will grant it is not said.
    """

    deployment: str
    resources: tuple[Resource, ...]
    warnings: tuple[str, ...] = field(default=())
    kept: tuple[Key, ...] = field(default=())

    def __post_init__(self) -> None:
        seen: set[Key] = set()
        for resource in self.resources:
            if resource.key in seen or not seen.issuperset(resource.needs):
                raise ValueError(f"{resource.key}: planned twice, or before what it needs")
            seen.add(resource.key)

    def mark(self, resource: Resource) -> Mark:
        """Return the mark that a resource of this plan bears."""
        return Mark(self.deployment, resource.digest)

    def is_met(self, resource: Resource, found: Found | None) -> bool:
        """Say whether what is there under a resource's name is that resource, and is ready."""
        return found is not None and found.state == "ready" and found.mark == self.mark(resource)

    def dependents(self, key: Key) -> tuple[Resource, ...]:
        """Return what needs a resource, directly or not, last first: the order in which to delete."""
        lost, found = {key}, []
        for resource in self.resources:
            if lost.intersection(resource.needs):
                lost.add(resource.key)
                found.append(resource)
        return tuple(reversed(found))

    def lines(self) -> Iterator[str]:
        """Yield the plan as ``--check --diff`` shows it: each resource, why it is there, what it costs, its body."""
        for resource in self.resources:
            yield f"{resource.key}" + (f"  # {resource.note}" if resource.note else "")
            if resource.meter:
                yield f"  costs while it exists: {resource.meter}"
            if resource.source is not None:
                yield f"  bytes of {resource.source}"
            yield from (f"  {line}" for line in json.dumps(resource.body, indent=2, sort_keys=True).splitlines())
