"""Azure as deploy and destroy use it: specs, plans, and a session for what asks the cloud.

Written from the vendor's schema and documents, not yet run on a real cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.clouds.azure.guest import guest_of
from provisioner.clouds.azure.names import Place
from provisioner.clouds.azure.plan import plan
from provisioner.clouds.azure.spec import AzureSpec, read_place, whereabouts
from provisioner.clouds.interface import Guest, Image, Rolling
from provisioner.clouds.remote import Session
from provisioner.clouds.resources import ResourcePlan
from provisioner.errors import CloudError
from provisioner.progress import Progress


@dataclass(frozen=True, slots=True)
class AzureVendor:
    """One deployment's subscription and resource group. ``told`` is what the inventory says.

    It is read when it is needed, so that all its faults are told at once. ``connect`` is called when Azure is asked.
    """

    told: Mapping[str, Any]
    connect: Callable[[Place], Session]

    def spec(self, variables: Mapping[str, Any], image: Image) -> AzureSpec:
        """Read the inventory's variables.

        Raises:
            SpecError: it lists every fault at once.
        """
        return AzureSpec.from_vars(variables, image)

    def plan(self, spec: AzureSpec, rolling: Rolling | None = None) -> ResourcePlan:
        """Plan, without effects and without credentials.

        Raises:
            PlanError: something is to stay beside a machine that is no set.
        """
        return plan(spec, rolling)

    def guest(self, spec: AzureSpec) -> Guest:
        """Return what a release and a client have to know of the machines."""
        return guest_of(spec)

    def place(self) -> str:
        """Say where the deployment is, for people and for a later comparison.

        Raises:
            SpecError: subscription, resource group or location is missing or malformed.
        """
        return whereabouts(self.told)

    def session(self) -> Session:
        """Log in.

        Raises:
            SpecError: subscription or resource group is missing or malformed.
            CloudError: the SDK is not installed.
        """
        return self.connect(read_place(self.told))


def connect(place: Place, *, progress: Progress) -> Session:
    """Log in as the environment says, and return a session; ``progress`` hears of a network that is dead.

    Raises:
        CloudError: the SDK is not installed.
    """
    try:
        # Loading the SDK takes seconds, and a preview needs none of it.
        from provisioner.clouds.azure.session import log_in  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CloudError(f"{error.name} is not installed; run: make setup (or pip install '.[azure]')") from error
    return log_in(place, progress=progress)
