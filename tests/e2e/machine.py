"""Real VMs for the tests: deployed through the playbook, saved, restored, or booted cold as a hostile host would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.atomic import replace_link
from provisioner.clouds import QemuCloud, Vm
from provisioner.clouds.accelerator import VERDICT_FILE, choose
from provisioner.image.artefacts import open_image
from provisioner.image.firmware import firmware
from provisioner.plan import Plan, plan
from provisioner.spec import VmSpec
from tests.ports import free_port
from tests.snapshot import restore, save

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CACHE = CHECKOUT / "build/cache"
BIN = Path(sys.executable).parent
BOOT_SECONDS = 600
Edit = Callable[[tuple[str, ...]], Iterable[str]]
# This checkout's code and roles, whatever else the virtual environment knows.
OURS = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "PYTHONPATH": str(CHECKOUT)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


def run(*argv, seconds=1800, env=None, cwd=CHECKOUT) -> Outcome:
    """Run one of the project's commands as a user would."""
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, **OURS, "COLUMNS": "200", **(env or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def make(*words, seconds=1800) -> Outcome:
    """Run one of the Makefile's targets as a user would, in a make of its own."""
    inherited = dict.fromkeys(("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"), "")
    return run("make", *words, seconds=seconds, env=inherited)


def vitrine(*argv, seconds=300, env=None, cwd=CHECKOUT) -> Outcome:
    """Run the command."""
    return run(BIN / "vitrine", *argv, seconds=seconds, env=env, cwd=cwd)


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM and what a client is given to judge it by."""

    root: Path
    name: str
    origin: str

    @property
    def cloud(self) -> QemuCloud:
        return QemuCloud(self.root)

    @property
    def vm(self) -> Vm | None:
        return self.cloud.find(self.name)

    @property
    def release(self) -> Path:
        return self.root / "release.json"

    @property
    def publisher(self) -> Path:
        return self.root / "publisher.pub"

    @property
    def tpm_ca(self) -> Path:
        return self.root / "tpm-ca.pem"

    @property
    def pins(self) -> tuple[str, ...]:
        """The command's arguments that say whom to trust."""
        return ("--release", self.release, "--publisher", self.publisher, "--simulated", self.tpm_ca)

    def console(self) -> str:
        return self.cloud.read_console(self.name)

    def destroy(self) -> None:
        self.cloud.destroy(self.name, progress=print)


@dataclass(frozen=True)
class PreparingCloud(QemuCloud):
    """QEMU whose TPMs are prepared once more after they were made as always: the endorsement certificate stays."""

    prepare: Callable[[Path], None] = lambda _: None

    def _make_tpm(self, plan: Plan, folder: Path) -> None:
        super()._make_tpm(plan, folder)
        self.prepare(folder / "tpm")


def spec_of(image: Path, root: Path, name: str, **values) -> VmSpec:
    """Describe a VM with an image's disks. They may be damaged copies: what the image is, the deployed one says."""
    return VmSpec.from_vars(
        {
            "name": name,
            "boot_disk": str(image / "boot.raw"),
            "model_disk": str(image / "model.raw"),
            "gateway_port": open_image(root / "image").service.port,
            "firmware": str(firmware(CACHE).code.parent),
            "port": free_port(),
            **values,
        }
    )


def planned(spec: VmSpec, root: Path, extra: tuple[str, ...] = (), edit: Edit = tuple) -> Plan:
    """Plan a VM with the accelerator that works here; ``edit`` changes QEMU's command line."""
    made = plan(spec, accelerator=choose(spec, root, progress=print).accelerator, extra_qemu_args=extra)
    return replace(made, qemu=tuple(edit(made.qemu)))


def published_copy(source: Path, root: Path) -> None:
    """Give another deployment the same image, release, publisher and TPM CA: only the VM is its own."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("release.json", "manifest.json", "publisher.pub", "tpm-ca.pem", VERDICT_FILE):
        if (source / name).exists():
            shutil.copy2(source / name, root / name)
    replace_link(root / "image", (source / "image").resolve())
    if (source / "tpm-ca").is_dir() and not (root / "tpm-ca").exists():
        shutil.copytree(source / "tpm-ca", root / "tpm-ca")


def clone(saved: Path, image: Path, root: Path, name: str, *, extra=(), edit: Edit = tuple) -> Machine:
    """Start a clone of the saved VM. Clones share EK, AK and TLS key: never use two of them as two machines.

    What the saved VM had of the host besides, ``extra``, its clone has as well.
    """
    spec = spec_of(image, root, name)
    vm = restore(QemuCloud(root), planned(spec, root, tuple(extra), edit), saved, progress=print)
    return Machine(root, name, vm.endpoint)


def snapshot(machine: Machine, directory: Path) -> None:
    """Save a VM and end it."""
    save(machine.cloud, machine.name, directory)


def boot(
    image: Path, root: Path, name: str, *, extra=(), variables: Path | None = None, edit: Edit = tuple, **values
) -> Machine:
    """Start a VM from nothing, with whatever the host adds; returns while it boots."""
    made = planned(spec_of(image, root, name, **values), root, tuple(extra), edit)
    if variables is not None:
        copies = tuple(replace(c, source=variables) if "VARS" in c.source.name.upper() else c for c in made.copies)
        made = replace(made, copies=copies)
    vm = QemuCloud(root).apply(made, progress=print)
    return Machine(root, name, vm.endpoint)
