"""Launch a spec: choose the cloud, plan, apply. The story that deploy.yml tells."""

from __future__ import annotations

from pathlib import Path

from provisioner.clouds.accelerator import choose
from provisioner.clouds.interface import Progress, Vm
from provisioner.clouds.qemu import QemuCloud
from provisioner.plan import plan
from provisioner.spec import VmSpec


def launch(spec: VmSpec, root: Path, *, progress: Progress, extra_qemu_args: tuple[str, ...] = ()) -> Vm:
    """Make the VM of this spec run; its state is kept under `root`.

    It returns when the VM's processes run: whether the guest may be trusted is for a client to verify.
    Raises PlanError and CloudError.
    """
    verdict = choose(spec, root, progress=progress)
    planned = plan(spec, accelerator=verdict.accelerator, extra_qemu_args=extra_qemu_args)
    return QemuCloud(root).apply(planned, progress=progress)
