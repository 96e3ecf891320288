"""The one interface that every cloud implements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provisioner.progress import Progress
from provisioner.spec import VmSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A VM as its cloud sees it. That it runs what the plan says is the client's to verify, not ours."""

    name: str
    endpoint: str
    running: bool
    accelerator: str
    plan_digest: str
    directory: Path
    pid: int | None

    @property
    def console(self) -> Path:
        """Where the serial console is recorded."""
        return self.directory / "console.log"


class Cloud(Protocol):
    """What deploy and destroy need of a cloud: one object for each deployment folder.

    Raises:
        CloudError: by every method, with the next step to take.
    """

    def launch(self, spec: VmSpec, *, progress: Progress) -> Vm:
        """Plan the VM and make it be as planned; leave it alone when it already is.

        Raises:
            PlanError: this cloud cannot do what the spec says.
        """

    def wait_ready(self, name: str, *, seconds: float, progress: Progress) -> Vm:
        """Wait until the VM says that it serves. Attest it then: what it says of itself proves nothing."""

    def find(self, name: str) -> Vm | None:
        """Return the VM of that name, dead or alive, or None."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all VMs that there is anything of, half-made ones too."""

    def destroy(self, name: str, *, progress: Progress) -> None:
        """Leave nothing of that VM, running or stored. A VM that is not there is destroyed already."""
