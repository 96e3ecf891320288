"""The one interface that every cloud implements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provisioner.plan import Plan

Progress = Callable[[str], None]


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
    """What deploy and destroy need of a cloud. Every method raises CloudError with the next step to take."""

    def apply(self, plan: Plan, *, progress: Progress) -> Vm:
        """Make the VM be as planned; leave it alone when it already is."""

    def find(self, name: str) -> Vm | None:
        """Return the VM of that name, dead or alive, or None."""

    def list(self) -> tuple[Vm, ...]:
        """Return every VM that there is state of."""

    def destroy(self, name: str, *, progress: Progress) -> None:
        """Leave nothing of that VM, running or stored. A VM that is not there is destroyed already."""

    def read_console(self, name: str) -> str:
        """Return the end of what the VM wrote on its serial console."""
