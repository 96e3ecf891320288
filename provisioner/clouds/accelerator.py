"""Hardware or software emulation: decided by trying, because a /dev/kvm that exists may still hang a guest."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from provisioner.atomic import replace_file
from provisioner.clouds import console, processes
from provisioner.clouds.processes import Command
from provisioner.errors import CloudError
from provisioner.image.firmware import VARIABLES
from provisioner.plan import probe_command
from provisioner.progress import Progress
from provisioner.spec import Accelerator, VmSpec

VERDICT_FILE = "accelerator.json"
_KVM = Path("/dev/kvm")
_PROBE_SECONDS = 30.0  # a working KVM needs about three
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which accelerator to use on this host, and why. ``key`` names the host that it was found on."""

    accelerator: Accelerator
    reason: str
    key: str


def choose(spec: VmSpec, root: Path, *, progress: Progress, device: Path = _KVM) -> Verdict:
    """Decide how to run the spec. A probe's verdict is kept under ``root`` until the next reboot.

    Raises:
        CloudError: the spec insists on KVM and KVM does not work, or it cannot be tried.
    """
    if spec.accelerator == "tcg":
        return Verdict("tcg", "the spec asks for it", "")
    verdict = _verdict(spec, root, device, progress=progress)
    progress(f"{spec.name}: accelerator {verdict.accelerator}: {verdict.reason}")
    if spec.accelerator == "kvm" and verdict.accelerator != "kvm":
        raise CloudError(f"{spec.name}: KVM does not work here ({verdict.reason}): choose accelerator auto or tcg")
    return verdict


def _verdict(spec: VmSpec, root: Path, device: Path, *, progress: Progress) -> Verdict:
    if not device.exists():
        return Verdict("tcg", f"there is no {device}", "")
    if not os.access(device, os.R_OK | os.W_OK):
        return Verdict("tcg", f"this user may not open {device}; the group kvm usually may", "")
    key = _host_key(device)
    known = _recall(root / VERDICT_FILE)
    if known is not None and known.key == key:
        return known
    progress(f"{spec.name}: tries whether {device} works, at most {_PROBE_SECONDS:.0f} s")
    try:
        root.mkdir(parents=True, exist_ok=True)
        fault = _probe(spec, root)
        verdict = Verdict("tcg", fault, key) if fault else Verdict("kvm", f"a guest boots with {device}", key)
        replace_file(root / VERDICT_FILE, json.dumps(asdict(verdict)).encode())
    except OSError as error:
        raise CloudError(f"cannot try KVM in {root}: {error}; check the folder's owner and the disk") from error
    return verdict


def _probe(spec: VmSpec, root: Path) -> str:
    """Boot the image under KVM until its kernel speaks; return what went wrong, or nothing."""
    variables = spec.firmware / VARIABLES
    if not variables.is_file():
        raise CloudError(f"there is no firmware {variables} to try KVM with: bake first")
    with tempfile.TemporaryDirectory(prefix="probe-", dir=root, ignore_cleanup_errors=True) as name:
        command = Command(Path(name), probe_command(spec))
        shutil.copyfile(variables, command.directory / "vars.fd")
        fault = stuck = ""
        try:
            processes.start(command, command.directory / "qemu.log")
            fault = _watch(command)
        finally:  # whatever ends the watch, the probe does not run on
            stuck = _stop(command)
        return f"{fault or 'the guest boots'}; {stuck}" if stuck else fault


def _stop(command: Command) -> str:
    """End the probe. One that is stuck in the kernel is a reason more to do without KVM, none to give up."""
    try:
        processes.stop(command)
    except CloudError as error:
        return str(error)
    return ""


def _watch(command: Command) -> str:
    folder = command.directory
    deadline = time.monotonic() + _PROBE_SECONDS
    while time.monotonic() < deadline:
        alive = processes.find(command) is not None
        said = console.lines(console.read_tail(folder / "console.log"))
        if any(line.startswith("VITRINE") for line in said):
            return ""
        if not alive:
            words = console.last_lines((folder / "qemu.log").read_text(errors="replace"))
            return f"the guest ended before its kernel spoke: {words}"
        time.sleep(_POLL_SECONDS)
    reached = console.last_lines(console.read_tail(folder / "console.log"), 1)
    return f"the guest hangs: after {_PROBE_SECONDS:.0f} s its console ends with {reached}"


def _host_key(device: Path) -> str:
    """Name what a verdict depends on: this boot of the host, this device, this QEMU."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    qemu = Path(processes.require("qemu-system-x86_64")).stat()
    return f"{boot} {device} {device.stat().st_rdev} {qemu.st_ino} {qemu.st_mtime_ns}"


def _recall(path: Path) -> Verdict | None:
    """Return the kept verdict; a file that is missing or damaged only means to try again."""
    try:
        verdict = Verdict(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return verdict if verdict.accelerator in ("tcg", "kvm") else None
