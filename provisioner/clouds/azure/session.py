"""One login to Azure, and everything that asks it."""

from __future__ import annotations

import logging

from azure.identity import DefaultAzureCredential

from provisioner.clouds.answers import understood
from provisioner.clouds.azure import view
from provisioner.clouds.azure.api import Api, Wire
from provisioner.clouds.azure.driver import AzureDriver
from provisioner.clouds.azure.names import Place
from provisioner.clouds.interface import Group, Vm
from provisioner.clouds.reconcile import Driver
from provisioner.clouds.resources import Found
from provisioner.progress import Progress


class AzureSession:
    """What the calls are made with, for one resource group."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def driver(self) -> Driver:
        """Return the calls that reconciling needs."""
        return AzureDriver(self._api)

    @understood("looking at the deployment in Azure")
    def vm(self, name: str) -> Vm | None:
        """Return a deployment as Azure sees it now.

        Raises:
            CloudError: it refuses.
        """
        return view.deployment(self._api, name)

    @understood("looking at the groups in Azure")
    def groups(self, name: str) -> tuple[Group, ...]:
        """Return a deployment's scale sets, and which of them clients are led to.

        Raises:
            CloudError: it refuses.
        """
        return view.groups(self._api, name)

    @understood("listing what is in the resource group")
    def names(self) -> tuple[str, ...]:
        """Return the deployments that something in the group bears the mark of.

        Raises:
            CloudError: it refuses.
        """
        return tuple(sorted({one.mark.deployment for one in self.found() if one.mark is not None}))

    @understood("listing what is in the resource group")
    def found(self) -> tuple[Found, ...]:
        """Return everything in the group that bears a mark of ours.

        Raises:
            CloudError: it refuses.
        """
        return tuple(AzureDriver(self._api).all_marked())

    @understood("looking for open doors in Azure")
    def open_doors(self, name: str, port: int) -> tuple[str, ...]:
        """Return each way into a deployment that is open, and how to shut it. The image listens on ``port``.

        Raises:
            CloudError: it refuses.
        """
        return view.open_doors(self._api, name, port)


def log_in(place: Place, *, progress: Progress) -> AzureSession:
    """Return a session with the environment's credentials; whether there are any shows with the first call."""
    # What the library logs is in its errors too, which become one line with the next step.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    return AzureSession(Api(place, DefaultAzureCredential(), Wire(), progress=progress))
