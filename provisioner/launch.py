"""A VM from its spec to the moment in which it says that it serves, and away again: what the playbooks ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provisioner.clouds import Vm, cloud_of
from provisioner.progress import Progress
from provisioner.spec import VmIdentity, VmSpec


def launch(spec: VmSpec, root: Path, *, seconds: float, progress: Progress) -> tuple[Vm, bool]:
    """Make the VM of this spec run, and wait for it; say whether it is another one than before.

    Whether the guest may be trusted is for a client to verify.

    Raises:
        PlanError: the cloud cannot do what the spec says.
        CloudError: it does not run, or is not ready in time.
    """
    cloud = cloud_of(spec.cloud, root)
    before = cloud.find(spec.name)
    cloud.launch(spec, progress=progress)
    vm = cloud.wait_ready(spec.name, seconds=seconds, progress=progress)
    return vm, vm != before


def destroy(variables: Mapping[str, object], root: Path, *, pretend: bool, progress: Progress) -> bool:
    """Leave nothing of the VM that these variables name; say whether there was anything, a half-made VM included.

    Raises:
        SpecError: the variables name no VM.
        CloudError: something of it cannot be stopped or removed.
    """
    vm = VmIdentity.from_vars(variables)
    cloud = cloud_of(vm.cloud, root)
    there = vm.name in cloud.names()
    if there and not pretend:
        cloud.destroy(vm.name, progress=progress)
    return there
