"""Azure as deploy and destroy use it: specs, plans, and a session for what asks the cloud.

Written from the vendor's schema and documents, not yet run on a real cloud.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.clouds.azure.guest import guest_of
from provisioner.clouds.azure.names import Place
from provisioner.clouds.azure.plan import plan
from provisioner.clouds.azure.spec import AzureSpec, read_place
from provisioner.clouds.interface import Guest, Image, Rolling
from provisioner.clouds.remote import RemoteCloud, Session
from provisioner.clouds.resources import ResourcePlan
from provisioner.errors import CloudError


@dataclass(frozen=True, slots=True)
class AzureVendor:
    """One deployment's subscription and resource group. ``connect`` is called when the cloud is first asked."""

    place: Place
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

    def session(self) -> Session:
        """Log in.

        Raises:
            CloudError: the SDK is not installed.
        """
        return self.connect(self.place)


def connect(place: Place) -> Session:
    """Log in as the environment says, and return a session.

    Raises:
        CloudError: the SDK is not installed.
    """
    try:
        # Loading the SDK takes seconds, and a preview needs none of it.
        from provisioner.clouds.azure.session import log_in  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CloudError(f"{error.name} is not installed; run: make setup (or pip install 'vitrine[azure]')") from error
    return log_in(place)


def azure(variables: Mapping[str, Any], listens: Callable[[], int]) -> RemoteCloud[AzureSpec]:
    """Return the cloud that these variables place a deployment in; nothing is asked yet.

    ``listens`` says on which port the image does.

    Raises:
        SpecError: they do not say which subscription or resource group.
    """
    return RemoteCloud(AzureVendor(read_place(variables), functools.cache(connect)), listens)
