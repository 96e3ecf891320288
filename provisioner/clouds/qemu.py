"""VMs on this machine: QEMU, OVMF and a software TPM, as the user who calls."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client_sdk.evidence import LOCAL_QEMU
from provisioner.clouds import console, processes
from provisioner.clouds.accelerator import choose
from provisioner.clouds.interface import Group, Guest, Image, Node, Vm
from provisioner.clouds.processes import Command
from provisioner.clouds.qmp import Address, Qmp
from provisioner.clouds.resources import DIGEST_SIZE, Found, Key, Mark
from provisioner.clouds.state import Record, Store, record_of
from provisioner.clouds.tpm_ca import ensure_ca, write_setup_configuration
from provisioner.errors import CloudError
from provisioner.plan import Plan, port_forward
from provisioner.plan import plan as plan_of
from provisioner.progress import Progress
from provisioner.spec import VmSpec

FOLDER = "folder"
_START_SECONDS = 30.0
_SETUP_SECONDS = 60.0
_POLL_SECONDS = 0.1
_WATCH_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuVm(Vm):
    """A VM of this machine, with what only its own user may look at."""

    plan_digest: str
    accelerator: str
    directory: Path
    pid: int | None

    @property
    def console(self) -> Path:
        """Where the serial console is recorded."""
        return self.directory / "console.log"


@dataclass(frozen=True, slots=True)
class QemuCloud:
    """The cloud that is this machine. Everything it keeps lies under ``root``."""

    root: Path

    @property
    def store(self) -> Store:
        """Where the state of the VMs is."""
        return Store(self.root / "vms")

    def spec(self, variables: Mapping[str, Any], image: Image) -> VmSpec:
        """Read a spec.

        Raises:
            SpecError: it lists every fault at once.
        """
        files = {"boot_disk": image.boot_disk, "model_disk": image.model_disk, "firmware": image.firmware}
        return VmSpec.from_vars({**variables, **files, "gateway_port": image.gateway_port})

    def guest(self, spec: VmSpec) -> Guest:
        """Return what the local platform is: no hardware vouches for it, and no policy but the simulated takes it."""
        _ = spec
        return Guest(platform=LOCAL_QEMU, tee="", gpus=0, policy="")

    def place(self) -> str:
        """Say where: what is elsewhere is another machine's."""
        return "this machine"

    def preview(self, spec: VmSpec) -> str:
        """Return the plan as JSON; whether KVM works is only found by trying, so ``auto`` is shown as ``tcg``.

        Raises:
            PlanError: the spec forbids the accelerator.
        """
        plan = plan_of(spec, accelerator="tcg" if spec.accelerator == "auto" else spec.accelerator)
        return json.dumps(asdict(plan), default=str, indent=2)

    def warnings(self, spec: VmSpec) -> tuple[str, ...]:
        """Return none."""
        _ = spec
        return ()

    def launch(self, spec: VmSpec, *, progress: Progress) -> bool:
        """Choose the accelerator, plan, apply; say whether the VM is another one than before.

        Raises:
            PlanError: the spec forbids the accelerator.
            CloudError: see ``choose`` and ``apply``.
        """
        verdict = choose(spec, self.root, progress=progress)
        before = self.find(spec.name)
        return self.apply(plan_of(spec, accelerator=verdict.accelerator), progress=progress) != before

    def apply(self, plan: Plan, *, progress: Progress) -> QemuVm:
        """Make the VM be as planned; leave it alone when it already is.

        Returns when QEMU runs, which says nothing about the guest: see ``wait_ready``.

        Raises:
            CloudError: something is missing, the port is taken, or a process dies at once.
        """
        with self.store.lock():
            record = record_of(plan)
            if self._is_as_recorded(plan.name, record):
                progress(f"{plan.name}: runs already as planned")
                return self._vm(plan.name, record)
            self._destroy(plan.name, progress)
            self.preflight(plan)
            return self._create(plan, record, progress)

    def find(self, name: str) -> QemuVm | None:
        """Return the VM of that name, dead or alive, or None."""
        record = self.store.read(name)
        return None if record is None else self._vm(name, record)

    def groups(self, name: str) -> tuple[Group, ...]:
        """Return none: a local deployment is one VM."""
        _ = name
        return ()

    def names(self) -> tuple[str, ...]:
        """Return the names of all VMs that there is a folder of, complete or not."""
        return self.store.names()

    def found(self) -> tuple[Found, ...]:
        """Return the folder of every VM; one without a record that can be read is half of one."""
        return tuple(self._found(name) for name in self.names())

    def planned(self, spec: VmSpec) -> frozenset[Key]:
        """Name the folder of the VM: it has nothing else."""
        return frozenset({Key(FOLDER, spec.name)})

    def open_doors(self, name: str) -> tuple[str, ...]:
        """Return nothing: whoever has this machine has the VM, and no cloud lets anybody else in."""
        del name
        return ()

    def list(self) -> tuple[QemuVm, ...]:
        """Return every VM that there is a record of."""
        return tuple(vm for vm in map(self.find, self.names()) if vm is not None)

    def destroy(self, name: str, *, progress: Progress) -> None:
        """Stop the VM's processes and remove its folder. A VM that is not there is destroyed already."""
        if name in self.names():
            with self.store.lock():
                self._destroy(name, progress)

    def read_console(self, name: str) -> str:
        """Return the end of what the VM wrote on its serial console."""
        return console.read_tail(self.store.folder(name) / "console.log")

    def wait_ready(self, name: str, *, seconds: float, progress: Progress) -> QemuVm:
        """Wait until the console says that the gateway listens. Attest the VM then: a console proves nothing.

        Raises:
            CloudError: the VM refuses, dies, or is not ready in time.
        """
        reached = 0
        deadline = time.monotonic() + seconds
        while True:
            vm = self._require(name)
            text = self.read_console(name)
            reached = _report(vm, text, reached, progress)
            if reached == len(console.STAGES):
                return vm
            _fail_if_over(vm, text)
            if time.monotonic() > deadline:
                raise CloudError(
                    f"{name}: not ready within {seconds:.0f} s; its console ends with: "
                    f"{console.last_lines(text)}; look at {vm.console}, or allow more time (deploy_seconds)"
                )
            time.sleep(_WATCH_SECONDS)

    def _create(self, plan: Plan, record: Record, progress: Progress) -> QemuVm:
        folder = self.store.create(plan.name, record)
        progress(f"{plan.name}: makes a software TPM")
        try:
            self._make_tpm(plan, folder)
            for copy in plan.copies:
                shutil.copyfile(copy.source, folder / copy.name)
        except OSError as error:
            raise CloudError(f"cannot fill {folder}: {error}; check its owner and the disk") from error
        self.start(plan, progress=progress)
        return self._vm(plan.name, record)

    def start(self, plan: Plan, *, progress: Progress) -> None:
        """Start the processes of a VM whose folder is complete, and wait until QEMU answers.

        Raises:
            CloudError: one of them dies, with what it said; its folder then stays, to be looked at.
        """
        try:
            self._start(plan, progress)
        except CloudError:
            self._stop(plan.name, plan)
            raise

    def _start(self, plan: Plan, progress: Progress) -> None:
        folder = self.store.folder(plan.name)
        progress(f"{plan.name}: starts QEMU ({plan.accelerator})")
        qemu, tpm = self._commands(plan.name, plan)
        for command, log, answers in (
            # Whoever connects to the TPM and goes ends it, so nobody but QEMU may try.
            (tpm, "swtpm.out", lambda: processes.listens(tpm)),
            (qemu, "qemu.log", lambda: status(folder) is not None),
        ):
            processes.start(command, folder / log)
            _await(command, folder / log, answers)

    def _make_tpm(self, plan: Plan, folder: Path) -> None:
        (folder / "tpm").mkdir()
        write_setup_configuration(ensure_ca(self.root), folder / "swtpm_setup.conf")
        processes.run(Command(folder, plan.swtpm_setup), seconds=_SETUP_SECONDS)

    def _destroy(self, name: str, progress: Progress) -> None:
        record = self.store.read(name)
        if record is not None:
            progress(f"{name}: stops what runs, removes its folder")
            self._stop(name, record)
        self.store.remove(name)

    def _stop(self, name: str, record: Record | Plan) -> None:
        for command in self._commands(name, record):
            processes.stop(command)

    def _is_as_recorded(self, name: str, wanted: Record) -> bool:
        same = self.store.read(name) == wanted and self._vm(name, wanted).running
        return same and status(self.store.folder(name)) == "running"

    def _vm(self, name: str, record: Record) -> QemuVm:
        pids = [processes.find(command) for command in self._commands(name, record)]
        running = None not in pids
        return QemuVm(
            name=name,
            endpoint=f"https://127.0.0.1:{record.port}",
            running=running,
            accelerator=record.accelerator,
            plan_digest=record.plan_digest,
            directory=self.store.folder(name),
            pid=pids[0],
            nodes=(Node(name=name, address="127.0.0.1", running=running, image=record.image),),
            facts=(("accelerator", record.accelerator), ("pid", "none" if pids[0] is None else str(pids[0]))),
        )

    def _found(self, name: str) -> Found:
        try:
            record = self.store.read(name)
        except CloudError:
            record = None
        digest = "" if record is None else record.plan_digest[:DIGEST_SIZE]
        return Found(Key(FOLDER, name), Mark(name, digest), "failed" if record is None else "ready")

    def _commands(self, name: str, record: Record | Plan) -> tuple[Command, Command]:
        """Return the commands of QEMU and its TPM, in the order in which they are stopped."""
        folder = self.store.folder(name)
        return Command(folder, record.qemu), Command(folder, record.swtpm)

    def _require(self, name: str) -> QemuVm:
        vm = self.find(name)
        if vm is None:
            raise CloudError(f"there is no VM {name}: deploy it first")
        return vm

    def preflight(self, plan: Plan) -> None:
        """Refuse to start what cannot work.

        Raises:
            CloudError: a program is missing, or the port is taken.
        """
        for argv in (plan.qemu, plan.swtpm, plan.swtpm_setup):
            processes.require(argv[0])
        _require_free(plan.port, self.list())


def _require_free(port: int, vms: tuple[QemuVm, ...]) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CloudError(
                f"port {port} is taken by {_holder(port, vms)}: stop that, or choose another port"
            ) from error


def _holder(port: int, vms: tuple[QemuVm, ...]) -> str:
    for vm in vms:
        if vm.endpoint.endswith(f":{port}") and vm.running:
            return f"the VM {vm.name}"
    # A VM of another deployment, or one whose folder was removed while it ran.
    other = processes.find_by_argument(port_forward(port))
    return f"a VM of another folder, {other}" if other else f"another process (`ss -ltnp sport = :{port}` names it)"


def _await(command: Command, log: Path, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        if processes.find(command) is None and not answers():
            said = console.last_lines(log.read_text(errors="replace"))
            serial = console.last_lines(console.read_tail(command.directory / "console.log"))
            raise CloudError(f"{command.argv[0]} died at once: {said}; the console says: {serial}")
        if time.monotonic() > deadline:
            raise CloudError(f"{command.argv[0]} does not answer within {_START_SECONDS:.0f} s; see {log}")
        time.sleep(_POLL_SECONDS)


def status(folder: Path) -> str | None:
    """Return QEMU's own word for what the VM in this folder does, or None when QEMU does not answer."""
    try:
        with Qmp(Address(folder / "qmp.sock", seconds=5.0)) as qmp:
            return str(qmp.execute("query-status")["status"])
    except (CloudError, KeyError, TypeError):
        return None


def _report(vm: QemuVm, text: str, before: int, progress: Progress) -> int:
    reached = console.stages_reached(text)
    for _, meaning in console.STAGES[before:reached]:
        used = f" ({processes.cpu_seconds(vm.pid):.0f} CPU seconds)" if vm.pid is not None else ""
        progress(f"{vm.name}: {meaning}{used}")
    return reached


def _fail_if_over(vm: QemuVm, text: str) -> None:
    refused = console.refusal(text)
    if refused is not None:
        raise CloudError(f"{vm.name}: the image refuses to run on this host: {refused}")
    if not vm.running:
        raise CloudError(f"{vm.name}: the VM has ended; its console ends with: {console.last_lines(text)}")
