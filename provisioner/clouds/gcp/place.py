"""Where in Google Cloud a deployment is: all that it takes to ask for it, and to take it away again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from provisioner import fields
from provisioner.fields import Checks

# https://cloud.google.com/resource-manager/docs/creating-managing-projects, /storage/docs/buckets#naming
project = fields.matching(
    r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project's id: 6 to 30 lower-case letters, digits and hyphens"
)
zone = fields.matching(r"[a-z]+-[a-z]+[0-9]{1,2}-[a-z]", "a zone such as europe-west4-a")
bucket = fields.matching(
    r"(?!goog)[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]",
    "a bucket's name, unique in the world: 3 to 63 lower-case letters, digits, hyphens and underscores",
)
CHECKS: Checks = {"project": project, "zone": zone}


@dataclass(frozen=True, slots=True)
class Place:
    """A project, and a zone in it."""

    project: str
    zone: str

    def __str__(self) -> str:
        return f"{self.zone} of project {self.project}"

    @property
    def region(self) -> str:
        """The region that the zone lies in: the zone's name without its letter."""
        return self.zone.rpartition("-")[0]

    @classmethod
    def from_vars(cls, variables: Mapping[str, object]) -> Place:
        """Read project and zone; what else the inventory says is not looked at.

        Raises:
            SpecError: one of them is missing or malformed; every fault is listed.
        """
        told = {key: value for key, value in variables.items() if key in CHECKS}
        fields.refuse(fields.faults(told, CHECKS, required=tuple(CHECKS)))
        return cls(**cast("dict[str, Any]", told))
