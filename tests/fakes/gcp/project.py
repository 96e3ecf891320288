"""A project of the fake: what exists in it, and how it is set up. Tests change both at will."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from tests.fakes.gcp import machines

MACHINE_TYPES = frozenset({"a3-highgpu-1g", "c3-standard-4", "n2d-standard-2", "g4-standard-48", "e2-small"})
BOOT_SAYS = "BdsDxe: starting Boot0001\r\nVITRINE initrd\r\nVITRINE ready\r\n"


@dataclass
class Operation:
    """A long-running operation: PENDING, RUNNING (its first effect), DONE (its last)."""

    name: str
    scope: str
    target: str
    kind: str
    begin: object
    finish: object
    error: dict | None = None
    age: int = 0

    @property
    def status(self):
        return ("PENDING", "RUNNING", "DONE")[min(self.age, 2)]


@dataclass
class Project:
    """Resources are kept by URL below ``projects/NAME/``: ``zones/europe-west4-c/instances/prod``."""

    name: str = "my-project"
    zones: tuple = ("europe-west4-a", "europe-west4-c", "us-central1-a")
    machine_types: dict = field(default_factory=dict)  # by zone; MACHINE_TYPES where none are named
    resources: dict = field(default_factory=dict)
    operations: dict = field(default_factory=dict)
    requests: dict = field(default_factory=dict)  # operation by the client's request id
    buckets: dict = field(default_factory=dict)
    objects: dict = field(default_factory=dict)
    uploads: dict = field(default_factory=dict)
    foreign_buckets: set = field(default_factory=set)
    metadata: dict = field(default_factory=dict)  # the project's own, which instances inherit
    policies: list = field(default_factory=list)  # hierarchical firewall policies
    denied: set = field(default_factory=set)  # permissions that these credentials lack
    used: dict = field(default_factory=dict)  # permissions, and the methods that took them
    tokens: set = field(default_factory=lambda: {"the-token"})
    failing: list = field(default_factory=list)  # (kind of resource, error) for operations to come
    imported: dict = field(default_factory=dict)  # the archive that an image was made from, by the image's name
    serial: str = BOOT_SAYS
    console: object = None  # what machines write on the serial port, by their names; without, all write `serial`
    page: int = 2
    start: object = machines.listen
    running: dict = field(default_factory=dict)  # what ends a machine, by the address and port that it serves
    validated: int = 0
    # A part of loopback for this project alone: other tests run beside it.
    block: str = field(default_factory=lambda: f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}")
    numbers: int = 0

    def next(self):
        self.numbers += 1
        return self.numbers

    def address(self):
        return f"{self.block}.{self.next() % 250 + 2}"

    def regions(self):
        return {zone.rpartition("-")[0] for zone in self.zones}

    def leftovers(self):
        """Everything that exists, in words; empty when a deployment has left nothing."""
        return sorted([*self.resources, *(f"gs://{name}" for name in self.buckets),
                       *(f"gs://{bucket}/{name}" for bucket, name in self.objects),
                       *(f"listens at {where}" for where in self.running)])  # fmt: skip

    def close(self):
        for end in self.running.values():
            end()
        self.running.clear()
