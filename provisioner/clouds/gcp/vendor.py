"""Google Cloud as deploy and destroy use it: specs, plans, and a session for what asks the cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.clouds.gcp.api import Api
from provisioner.clouds.gcp.guest import guest_of
from provisioner.clouds.gcp.place import Place
from provisioner.clouds.gcp.plan import plan
from provisioner.clouds.gcp.session import GcpSession
from provisioner.clouds.gcp.spec import GcpSpec
from provisioner.clouds.gcp.upload import PIECE
from provisioner.clouds.interface import Guest, Image, Rolling
from provisioner.clouds.resources import ResourcePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpVendor:
    """One deployment's project. ``told`` is what the inventory says; ``folder`` keeps uploads until they are there.

    What the inventory says is read when it is needed, so that all its faults are told at once. ``connect`` is called
    when Google is asked.
    """

    told: Mapping[str, Any]
    folder: Path
    connect: Callable[[], Api]
    piece: int = PIECE

    def spec(self, variables: Mapping[str, Any], image: Image) -> GcpSpec:
        """Read the inventory's variables.

        Raises:
            SpecError: it lists every fault at once.
        """
        return GcpSpec.from_vars(variables, image)

    def plan(self, spec: GcpSpec, rolling: Rolling | None = None) -> ResourcePlan:
        """Plan, without effects.

        Raises:
            PlanError: something is to stay beside a machine that is no group.
        """
        return plan(spec, rolling)

    def guest(self, spec: GcpSpec) -> Guest:
        """Return what a release and a client have to know of the machines."""
        return guest_of(spec)

    def place(self) -> str:
        """Say where the deployment is, for people and for a later comparison.

        Raises:
            SpecError: project or zone is missing or malformed.
        """
        return str(Place.from_vars(self.told))

    def session(self) -> GcpSession:
        """Return what asks the cloud, with the credentials that Google's libraries find.

        Raises:
            SpecError: project or zone is missing or malformed.
            CloudError: the libraries or the credentials are missing.
        """
        place = Place.from_vars(self.told)
        return GcpSession(api=self.connect(), place=place, told=self.told, folder=self.folder, piece=self.piece)
