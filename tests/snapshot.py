"""Save a running VM to a folder, and start clones from it: for tests, which would wait for a boot otherwise.

Every clone has the same TPM, keys, random state and clock as the saved VM: two of them are one machine to a
verifier, so a test about two machines has to boot them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from provisioner.clouds.interface import Vm
from provisioner.clouds.qemu import QemuCloud
from provisioner.clouds.qmp import Address, Qmp
from provisioner.clouds.state import record_of
from provisioner.errors import CloudError
from provisioner.plan import Plan
from provisioner.progress import Progress

_SECONDS = 120.0
_POLL_SECONDS = 0.05
_MEMORY = "memory"
_BANDWIDTH = 1 << 40  # without it QEMU limits itself to 128 MiB a second


def save(cloud: QemuCloud, name: str, directory: Path) -> None:
    """Write the state of a running VM to `directory`, and destroy the VM.

    The folder appears only when it is complete. Raises CloudError when QEMU will not, or the disk is full.
    """
    vm = cloud.find(name)
    if vm is None or not vm.running:
        raise CloudError(f"{name} does not run, so its state cannot be saved: deploy it first")
    temporary = directory.with_name(f".{directory.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True, mode=0o700)
        _write_memory(vm.directory / "qmp.sock", temporary / _MEMORY)
        for copy in vm.directory.glob("*.fd"):
            shutil.copyfile(copy, temporary / copy.name)
        shutil.rmtree(directory, ignore_errors=True)
        temporary.replace(directory)
    except OSError as error:
        raise CloudError(f"cannot save {name} to {directory}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        cloud.destroy(name, progress=lambda _: None)


def restore(cloud: QemuCloud, plan: Plan, directory: Path, *, progress: Progress) -> Vm:
    """Start a clone of a saved VM and let it run. Name and port may be its own, nothing else of the plan.

    Raises CloudError when the state does not fit the plan, this QEMU or its version.
    """
    waiting = replace(plan, qemu=(*plan.qemu, "-incoming", "defer"), copies=())
    cloud.destroy(plan.name, progress=progress)
    try:
        with cloud.store.lock():
            cloud.preflight(waiting)
            folder = cloud.store.create(plan.name, record_of(waiting))
            _fill(folder, directory)
            cloud.start(waiting, progress=progress)
            _read_memory(folder / "qmp.sock", directory / _MEMORY)
        return _found(cloud, plan.name)
    except (OSError, CloudError) as error:
        cloud.destroy(plan.name, progress=progress)
        raise CloudError(f"cannot restore {directory}: {error}; remove it and boot again") from error


def _fill(folder: Path, saved: Path) -> None:
    # The TPM's state travels with the memory: it starts from nothing here.
    (folder / "tpm").mkdir()
    for copy in saved.glob("*.fd"):
        shutil.copyfile(copy, folder / copy.name)


def _write_memory(address: Path, memory: Path) -> None:
    descriptor = os.open(memory, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with Qmp(Address(address, _SECONDS)) as qmp:
            qmp.execute("stop")
            qmp.execute("migrate-set-parameters", {"max-bandwidth": _BANDWIDTH})
            qmp.send_file(_MEMORY, descriptor)
            qmp.execute("migrate", {"uri": f"fd:{_MEMORY}"})
            _until(lambda: _moved(qmp))
    finally:
        os.close(descriptor)


def _read_memory(address: Path, memory: Path) -> None:
    descriptor = os.open(memory, os.O_RDONLY)
    try:
        with Qmp(Address(address, _SECONDS)) as qmp:
            # Else QEMU and the guest would announce the network card: nothing of that is the image's doing.
            qmp.execute("migrate-set-parameters", {"announce-rounds": 0})
            qmp.send_file(_MEMORY, descriptor)
            qmp.execute("migrate-incoming", {"uri": f"fd:{_MEMORY}"})
            _until(lambda: qmp.execute("query-status")["status"] != "inmigrate")
            # It was stopped before it was saved, and stays so until told.
            qmp.execute("cont")
    finally:
        os.close(descriptor)


def _moved(qmp: Qmp) -> bool:
    answer = qmp.execute("query-migrate")
    if answer.get("status") in ("failed", "cancelled"):
        raise CloudError(f"QEMU cannot save the VM: {answer.get('error-desc', answer)}; is the disk full?")
    return bool(answer.get("status") == "completed")


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise CloudError(f"the VM's state did not move within {_SECONDS:.0f} s; is the disk busy or full?")
        time.sleep(_POLL_SECONDS)


def _found(cloud: QemuCloud, name: str) -> Vm:
    vm = cloud.find(name)
    if vm is None or not vm.running:
        raise CloudError(f"{name} ended right after it was restored: {cloud.read_console(name)[-200:]}")
    return vm
