"""The one interface that every cloud implements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from provisioner.clouds.resources import Found, Key
from provisioner.progress import Progress

Spec = TypeVar("Spec")
Step = Literal["stage", "overlap", "drain", "back"]
KEY_SIZE = 16  # characters of an image's key in a cloud's names


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a cloud is told of a baked image. ``key`` names it before it is baked; the files may not be there yet.

    ``firmware`` is the folder of the local VM's firmware; a real cloud brings its own.
    """

    key: str
    boot_disk: Path
    model_disk: Path
    gateway_port: int
    firmware: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of a deployment. ``image`` is the key of what it was made from, as the cloud's labels say it.

    ``refused`` is why the cloud does not make it, where waiting does not help.
    """

    name: str
    address: str
    running: bool
    image: str
    refused: str = ""

    def is_of(self, image: str) -> bool:
        """Say whether it was made from this image: the cloud's word may be the beginning of the key."""
        return bool(self.image) and image.startswith(self.image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Machines of one image behind a balancer. ``image`` is that image's key, or how it begins.

    ``serving`` says that the balancer's service leads to them.
    """

    image: str
    serving: bool

    def is_of(self, image: str) -> bool:
        """Say whether its machines are made from this image."""
        return bool(self.image) and image.startswith(self.image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """An older group that a plan keeps beside the one of its spec, and which of the two the service leads to.

    ``old`` is how the older image's key begins. The steps: ``stage``, the older alone, and the new one has an endpoint
    of its own; ``overlap``, both; ``drain``, the new one alone; ``back``, the older alone, and there is no new one.
    """

    old: str
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A deployment as its cloud sees it: one VM, or several behind one endpoint.

    That it runs what the plan says is the client's to verify, not ours. ``staging`` is the endpoint of a group that no
    client is led to yet, where there is one. ``facts`` are for people: what it is, and what it costs by which meter.
    """

    name: str
    endpoint: str
    running: bool
    plan_digest: str
    nodes: tuple[Node, ...] = ()
    staging: str = ""
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What a release and a client have to know of a deployment's machines, whatever image they run.

    ``platform`` and ``tee`` are the release's words (docs/protocol.md), ``policy`` is the policy file that clients are
    given: whose machines, where, and with which hardware. It is empty where only a simulated policy takes them.
    """

    platform: str
    tee: str
    gpus: int
    policy: str


class Cloud(Protocol[Spec]):
    """What deploy and destroy need of a cloud: one object for each deployment folder.

    Raises:
        CloudError: by every method that asks the cloud, with the next step to take.
    """

    def spec(self, variables: Mapping[str, Any], image: Image) -> Spec:
        """Read the inventory's variables for this cloud.

        Raises:
            SpecError: it lists every fault at once, before anything is asked of the cloud.
        """

    def guest(self, spec: Spec) -> Guest:
        """Return what a release and a client have to know of the machines; asks the cloud nothing."""

    def preview(self, spec: Spec) -> str:
        """Return everything that ``launch`` would have the cloud have, for people to read; asks the cloud nothing.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """

    def warnings(self, spec: Spec) -> tuple[str, ...]:
        """Return what a person should know before ``launch``: each a sentence; asks the cloud nothing.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """

    def launch(self, spec: Spec, *, progress: Progress) -> Vm:
        """Plan the VM and make it be as planned; leave it alone when it already is.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """

    def wait_ready(self, name: str, *, seconds: float, progress: Progress) -> Vm:
        """Wait until the VM says that it serves, and see that no door into it is open.

        Attest it then: what it says of itself proves nothing, and neither does what its cloud says of it.
        """

    def find(self, name: str) -> Vm | None:
        """Return the VM of that name, dead or alive, or None."""

    def groups(self, name: str) -> tuple[Group, ...]:
        """Return the groups of a deployment of several machines, one for each image; none where it is one VM."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all VMs that there is anything of, half-made ones too."""

    def found(self) -> tuple[Found, ...]:
        """Return everything that bears a mark of ours, of whichever deployment, as it is now; waits for nothing."""

    def planned(self, spec: Spec) -> frozenset[Key]:
        """Name everything that a deployment has when it is as its inventory says; asks the cloud nothing.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """

    def open_doors(self, name: str) -> tuple[str, ...]:
        """Read back what is in effect, and return each way in that is open: which, and how to shut it."""

    def destroy(self, name: str, *, progress: Progress) -> None:
        """Leave nothing of that VM, running or stored. A VM that is not there is destroyed already."""
