"""The one interface that every cloud implements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from provisioner.clouds.resources import Found, Key
from provisioner.errors import PlanError
from provisioner.progress import Progress

Spec = TypeVar("Spec")
Step = Literal["stage", "overlap", "drain", "back"]
DRAIN_SECONDS = 60  # how long connections to a group that is led to no more may go on
_KEY_SIZE = 16  # characters of an image's key in a cloud's names


def short(key: str) -> str:
    """Return how an image's key begins, as it stands in a cloud's names."""
    return key[:_KEY_SIZE]


def require_group(name: str, replicas: int) -> None:
    """Refuse to roll a single machine over.

    Raises:
        PlanError: it is one.
    """
    if replicas == 1:
        raise PlanError(
            f"{name}: one machine is replaced, not rolled over: playbooks/deploy.yml does that, and for minutes "
            "nothing serves; more replicas on a cloud can be rolled over"
        )


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
class _Made:
    """Something that was made from an image. ``image`` is its key, or how that begins: a cloud's labels are short."""

    image: str

    def is_of(self, image: str) -> bool:
        """Say whether it was made from this image."""
        return bool(self.image) and image.startswith(self.image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(_Made):
    """One machine of a deployment.

    ``refused`` is why the cloud does not make it, where waiting does not help.
    """

    name: str
    address: str
    running: bool
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(_Made):
    """Machines of one image behind a balancer. ``serving`` says that the balancer's service leads to them."""

    serving: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """An older group that a plan keeps beside the one of its spec, and which of the two the service leads to.

    ``old`` is how the older image's key begins. The steps: ``stage``, the older alone, and the new one has an endpoint
    of its own; ``overlap``, both; ``drain``, the new one alone; ``back``, the older alone, and there is no new one.
    """

    old: str
    step: Step

    @property
    def makes_new(self) -> bool:
        """Whether there is a new group."""
        return self.step != "back"

    @property
    def is_staged(self) -> bool:
        """Whether the new group has an endpoint of its own."""
        return self.step == "stage"

    @property
    def serves(self) -> tuple[bool, bool]:
        """Whether the service leads to the older group, and whether to the new one."""
        return self.step != "drain", self.step in ("overlap", "drain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A deployment as its cloud sees it: one VM, or several behind one ``endpoint``, empty while it has no address.

    That it runs what the plan says is the client's to verify, not ours. ``staging`` is the endpoint of a group that no
    client is led to yet, where there is one. ``facts`` are for people: what it is, and what it costs by which meter.
    """

    name: str
    endpoint: str
    running: bool
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

    def place(self) -> str:
        """Say where in the cloud the deployment is, as the inventory has it: another place is another text.

        Raises:
            SpecError: the inventory does not say where.
        """

    def preview(self, spec: Spec) -> str:
        """Return everything that ``launch`` would have the cloud have, for people to read; asks the cloud nothing.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """

    def launch(self, spec: Spec, *, progress: Progress) -> bool:
        """Plan the VM and make it be as planned; leave it alone when it already is. Say whether anything changed.

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
