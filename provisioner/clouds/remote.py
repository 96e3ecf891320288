"""A real cloud: everything that is the same whoever the vendor is.

A vendor brings the pure plan and the calls; this is the thin part between them. What exists is asked of the cloud each
time: this machine keeps nothing that could be lost or go stale.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol
from urllib.parse import urlsplit

from provisioner.clouds.interface import Group, Guest, Image, Rolling, Spec, Vm
from provisioner.clouds.reconcile import Driver, apply, destroy, replaced
from provisioner.clouds.resources import Found, Key, ResourcePlan
from provisioner.clouds.shown import shown
from provisioner.clouds.waiting import looks
from provisioner.errors import CloudError, PlanError
from provisioner.progress import Progress, paced, plain

_CONNECT_SECONDS = 5.0


class Session(Protocol):
    """Everything that asks the cloud about one deployment's project or subscription.

    Raises:
        CloudError: by every method, in one sentence with the next step.
    """

    def driver(self) -> Driver:
        """Return the calls that reconciling needs."""

    def vm(self, name: str) -> Vm | None:
        """Return a deployment as the cloud sees it now."""

    def groups(self, name: str) -> tuple[Group, ...]:
        """Return a deployment's groups of machines, one for each image, and which of them clients are led to."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all deployments that something bears the mark of."""

    def found(self) -> tuple[Found, ...]:
        """Return everything that bears a mark of ours, of whichever deployment, as it is now; waits for nothing."""

    def open_doors(self, name: str, port: int) -> tuple[str, ...]:
        """Read back what is in effect, and return each way in that is open: which, and how to shut it.

        ``port`` is that on which the image listens; what the cloud says of it is what is being checked.

        The image listens on none of these ways. A door that is open says that somebody changed something, or that
        the project's own settings undo the plan.
        """


class Vendor(Protocol[Spec]):
    """One vendor's cloud, for one deployment: what needs no credentials, and the session that does."""

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

    def place(self) -> str:
        """Say where the deployment is, as the inventory has it: another place is another text.

        Raises:
            SpecError: the inventory does not say where.
        """

    def session(self) -> Session:
        """Log in; credentials are looked for here, and nowhere earlier.

        Raises:
            SpecError: the inventory does not say where.
            CloudError: the vendor's library or the credentials are missing.
        """


@dataclass(frozen=True, slots=True)
class RemoteCloud(Generic[Spec]):
    """A vendor's cloud as deploy and destroy use it.

    ``listens`` says on which port the image does; ``pause`` is how many seconds lie between two looks of a wait.
    """

    vendor: Vendor[Spec]
    listens: Callable[[], int]
    pause: float = 2.0

    def spec(self, variables: Mapping[str, Any], image: Image) -> Spec:
        """Read the inventory's variables.

        Raises:
            SpecError: it lists every fault at once.
        """
        return self.vendor.spec(variables, image)

    def guest(self, spec: Spec) -> Guest:
        """Return what a release and a client have to know of the machines."""
        return self.vendor.guest(spec)

    def place(self) -> str:
        """Say where the deployment is, as the inventory has it.

        Raises:
            SpecError: the inventory does not say where.
        """
        return self.vendor.place()

    def preview(self, spec: Spec) -> str:
        """Return the whole plan for people to read.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """
        return "\n".join(shown(self.vendor.plan(spec)))

    def warnings(self, spec: Spec) -> tuple[str, ...]:
        """Return what a person should know before this is made.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """
        return self.vendor.plan(spec).warnings

    def launch(self, spec: Spec, *, progress: Progress) -> bool:
        """Make the cloud have what the plan says; say whether anything was made, changed or deleted.

        Raises:
            PlanError: this cloud cannot do what the spec says.
            CloudError: it refuses; run it again, it goes on where it was.
        """
        plan, progress = self.vendor.plan(spec), plain(progress)
        for text in plan.warnings:
            progress(f"{plan.deployment}: warning: {text}")
        change = apply(plan, self.vendor.session().driver(), progress=progress)
        if not change:
            progress(f"{plan.deployment}: runs already as planned")
        return bool(change)

    def wait_ready(self, name: str, *, seconds: float, progress: Progress) -> Vm:
        """Wait until every machine runs and the endpoint takes connections, then see that no door is open.

        Raises:
            CloudError: not ready in time, or a door is open: nothing may be published then.
        """
        return self._wait(name, self._missing, seconds=seconds, progress=progress)

    def check(self, spec: Spec, rolling: Rolling | None) -> None:
        """See that a step makes nothing anew that serves; changes nothing.

        Raises:
            PlanError: the inventory changed more than what belongs to one image.
            CloudError: the cloud refuses to tell.
        """
        plan, driver = self.vendor.plan(spec, rolling), self.vendor.session().driver()
        if plan.kept and driver.read(plan.kept[-1]) is None:
            raise PlanError(
                f"{plan.deployment}: the inventory names another place than that of the group that serves "
                f"({plan.kept[-1]} is not there): undo that change, or destroy and deploy again"
            )
        anew = replaced(plan, driver)
        if rolling is not None and rolling.is_staged:  # the new group serves nobody yet
            shared = self.planned(spec, replace(rolling, step="back"))
            anew = tuple(key for key in anew if key in shared)
        if anew:
            raise PlanError(
                f"{plan.deployment}: the inventory changed more than a rollout can ({', '.join(map(str, anew))} would "
                "be made anew, and the service with it): undo that change, or destroy and deploy again"
            )

    def unmade(self, spec: Spec, rolling: Rolling) -> tuple[Key, ...]:
        """Return what a step needs of the new group and what is not there, or not as planned: it would be made anew.

        Raises:
            PlanError: this cloud cannot do what the spec says.
            CloudError: it refuses to tell.
        """
        others = self.planned(spec, replace(rolling, step="back"))
        plan, driver = self.vendor.plan(spec, rolling), self.vendor.session().driver()
        new = (one for one in plan.resources if one.key not in others)
        return tuple(one.key for one in new if not plan.is_met(one, driver.read(one.key)))

    def roll(self, spec: Spec, rolling: Rolling, *, progress: Progress) -> None:
        """Make the cloud have what the plan of this step says. The older group is left as it is.

        Raises:
            PlanError: the inventory changed more than what belongs to one image; nothing was changed then.
            CloudError: the cloud refuses; run it again, it goes on where it was.
        """
        self.check(spec, rolling)
        apply(self.vendor.plan(spec, rolling), self.vendor.session().driver(), progress=plain(progress))

    def wait_staged(self, name: str, image: str, count: int, *, seconds: float, progress: Progress) -> str:
        """Wait until a group that serves nobody yet has all its machines and takes connections; return its endpoint.

        Raises:
            CloudError: not in time, or never, or a door is open.
        """

        def missing(vm: Vm) -> str:
            text = self._missing_staged(vm, image, count)
            if text and (refused := [node.name for node in vm.nodes if node.is_of(image) and node.refused]):
                raise CloudError(f"{name}: the cloud does not make {', '.join(refused)}")
            return text

        return self._wait(name, missing, seconds=seconds, progress=progress).staging

    def find(self, name: str) -> Vm | None:
        """Return the deployment of that name, or None."""
        return self.vendor.session().vm(name)

    def groups(self, name: str) -> tuple[Group, ...]:
        """Return the deployment's groups of machines, one for each image.

        Raises:
            CloudError: the cloud refuses to tell.
        """
        return self.vendor.session().groups(name)

    def names(self) -> tuple[str, ...]:
        """Return the names of all deployments that there is anything of."""
        return self.vendor.session().names()

    def found(self) -> tuple[Found, ...]:
        """Return everything that bears a mark of ours, as it is now.

        Raises:
            CloudError: the cloud refuses.
        """
        return self.vendor.session().found()

    def planned(self, spec: Spec, rolling: Rolling | None = None) -> frozenset[Key]:
        """Name everything that the plan, or that of a rollout's step, has.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """
        return frozenset(resource.key for resource in self.vendor.plan(spec, rolling).resources)

    def open_doors(self, name: str) -> tuple[str, ...]:
        """Return each way in that is open.

        Raises:
            CloudError: the cloud refuses, or there is nothing to look at.
        """
        return self.vendor.session().open_doors(name, self.listens())

    def destroy(self, name: str, *, progress: Progress) -> None:
        """Delete everything that bears this deployment's mark.

        Raises:
            CloudError: something stays; it is named.
        """
        destroy(name, self.vendor.session().driver(), progress=plain(progress))

    def _require(self, name: str) -> Vm:
        vm = self.vendor.session().vm(name)
        if vm is None:
            raise CloudError(f"there is no deployment {name}: deploy it first")
        return vm

    def _wait(self, name: str, missing: Callable[[Vm], str], *, seconds: float, progress: Progress) -> Vm:
        """Look until nothing is missing, then see that no door is open."""
        said, progress = "", plain(progress)
        told = paced(progress)
        for passed in looks(seconds, pause=self.pause):
            if not (text := missing(vm := self._require(name))):
                break
            tell = told if text == said else progress
            tell(f"{name}: waits, {passed:.0f} s: {text}")
            said = text
        else:
            raise CloudError(f"{name}: not ready within {seconds:.0f} s: {text}; allow more (deploy_seconds)")
        if doors := self.open_doors(name):
            raise CloudError(f"{name}: open doors, nothing is published: {'; '.join(doors)}")
        return vm

    def _missing(self, vm: Vm) -> str:
        """Say what a deployment still waits for; nothing when it is ready."""
        asleep = [node.name for node in vm.nodes if not node.running]
        if asleep or not vm.running:
            return f"not running yet: {', '.join(asleep) or vm.name}"
        return _silent(vm.endpoint)

    def _missing_staged(self, vm: Vm, image: str, count: int) -> str:
        nodes = [node for node in vm.nodes if node.is_of(image)]
        asleep = [node.name for node in nodes if not node.running]
        if asleep or len(nodes) < count:
            return f"new machines not running yet: {', '.join(asleep) or f'{len(nodes)} of {count} are there'}"
        return _silent(vm.staging) if vm.staging else "nothing leads to the new machines yet"


def _silent(endpoint: str) -> str:
    """Say that an endpoint takes no connections, and what that hints at; nothing when it does.

    A machine that boots refuses; a firewall lets packets vanish, and so does a balancer with no healthy machine.
    """
    if not endpoint:
        return "it has no address yet"
    where = urlsplit(endpoint)
    try:
        socket.create_connection((where.hostname or "", where.port or 443), timeout=_CONNECT_SECONDS).close()
    except TimeoutError:
        return (
            f"{endpoint} does not answer: either the machine still boots, or this machine's address is not among those "
            "that the inventory lets connect (client_ranges, on Azure client_networks)"
        )
    except ConnectionRefusedError:
        return f"nothing listens at {endpoint} yet, and the connection is refused: the machine still boots"
    except OSError as error:
        return f"{endpoint} cannot be reached ({error.strerror or error}): look at this machine's network"
    return ""
