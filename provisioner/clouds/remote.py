"""A real cloud: everything that is the same whoever the vendor is.

A vendor brings the pure plan and the calls; this is the thin part between them. What exists is asked of the cloud each
time: this machine keeps nothing that could be lost or go stale.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol
from urllib.parse import urlsplit

from provisioner.clouds.interface import Group, Guest, Image, Rolling, Spec, Vm
from provisioner.clouds.reconcile import Driver, apply, destroy
from provisioner.clouds.resources import ResourcePlan
from provisioner.errors import CloudError
from provisioner.progress import Progress

_WATCH_SECONDS = 2.0
_CONNECT_SECONDS = 5.0


class Vendor(Protocol[Spec]):
    """One vendor's cloud, for one deployment's project or subscription.

    Raises:
        CloudError: by every method that asks the cloud, in one sentence with the next step.
    """

    def spec(self, variables: Mapping[str, Any], image: Image) -> Spec:
        """Read the inventory's variables.

        Raises:
            SpecError: it lists every fault at once.
        """

    def plan(self, spec: Spec, rolling: Rolling | None = None) -> ResourcePlan:
        """Plan, without effects; ``rolling`` is an older group that stays beside the spec's for a while.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """

    def guest(self, spec: Spec) -> Guest:
        """Return what a release and a client have to know of the machines."""

    def driver(self) -> Driver:
        """Return the calls; credentials are looked for here, and nowhere earlier."""

    def vm(self, name: str) -> Vm | None:
        """Return a deployment as the cloud sees it now."""

    def groups(self, name: str) -> tuple[Group, ...]:
        """Return a deployment's groups of machines, one for each image."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all deployments that something bears the mark of."""

    def open_doors(self, name: str) -> tuple[str, ...]:
        """Read back what is in effect, and return each way in that is open: which, and how to shut it.

        The image listens on none of these ways. A door that is open says that somebody changed something, or that
        the project's own settings undo the plan.
        """


@dataclass(frozen=True, slots=True)
class RemoteCloud(Generic[Spec]):
    """A vendor's cloud as deploy and destroy use it."""

    vendor: Vendor[Spec]

    def spec(self, variables: Mapping[str, Any], image: Image) -> Spec:
        """Read the inventory's variables.

        Raises:
            SpecError: it lists every fault at once.
        """
        return self.vendor.spec(variables, image)

    def guest(self, spec: Spec) -> Guest:
        """Return what a release and a client have to know of the machines."""
        return self.vendor.guest(spec)

    def preview(self, spec: Spec) -> str:
        """Return the whole plan for people to read.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """
        plan = self.vendor.plan(spec)
        return "\n".join((*(f"warning: {text}" for text in plan.warnings), *plan.lines()))

    def launch(self, spec: Spec, *, progress: Progress) -> Vm:
        """Make the cloud have what the plan says.

        Raises:
            PlanError: this cloud cannot do what the spec says.
            CloudError: it refuses; run it again, it goes on where it was.
        """
        plan = self.vendor.plan(spec)
        for text in plan.warnings:
            progress(f"{plan.deployment}: warning: {text}")
        change = apply(plan, self.vendor.driver(), progress=progress)
        if not change:
            progress(f"{plan.deployment}: runs already as planned")
        return self._require(plan.deployment)

    def wait_ready(self, name: str, *, seconds: float, progress: Progress) -> Vm:
        """Wait until every machine runs and the endpoint takes connections, then see that no door is open.

        Raises:
            CloudError: not ready in time, or a door is open: nothing may be published then.
        """
        deadline = time.monotonic() + seconds
        said = ""
        while missing := self._missing(vm := self._require(name)):
            if time.monotonic() > deadline:
                raise CloudError(f"{name}: not ready within {seconds:.0f} s: {missing}; allow more (deploy_seconds)")
            if missing != said:
                progress(f"{name}: waits: {missing}")
            said = missing
            time.sleep(_WATCH_SECONDS)
        if doors := self.vendor.open_doors(name):
            raise CloudError(f"{name}: open doors, nothing is published: {'; '.join(doors)}")
        return vm

    def find(self, name: str) -> Vm | None:
        """Return the deployment of that name, or None."""
        return self.vendor.vm(name)

    def groups(self, name: str) -> tuple[Group, ...]:
        """Return the deployment's groups of machines, one for each image.

        Raises:
            CloudError: the cloud refuses to tell.
        """
        return self.vendor.groups(name)

    def names(self) -> tuple[str, ...]:
        """Return the names of all deployments that there is anything of."""
        return self.vendor.names()

    def destroy(self, name: str, *, progress: Progress) -> None:
        """Delete everything that bears this deployment's mark.

        Raises:
            CloudError: something stays; it is named.
        """
        destroy(name, self.vendor.driver(), progress=progress)

    def _require(self, name: str) -> Vm:
        vm = self.vendor.vm(name)
        if vm is None:
            raise CloudError(f"there is no deployment {name}: deploy it first")
        return vm

    def _missing(self, vm: Vm) -> str:
        """Say what a deployment still waits for; nothing when it is ready."""
        asleep = [node.name for node in vm.nodes if not node.running]
        if asleep or not vm.running:
            return f"not running yet: {', '.join(asleep) or vm.name}"
        where = urlsplit(vm.endpoint)
        try:
            socket.create_connection((where.hostname or "", where.port or 443), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            return f"nothing listens at {vm.endpoint} yet ({error.strerror or error})"
        return ""
