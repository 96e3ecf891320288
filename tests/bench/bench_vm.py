"""Figures of the VM under whatever accelerator works here: CPU-seconds of QEMU beside wall time, and ratios.

The floor for a boot is the same QEMU, firmware and disks without a TPM's work after the kernel: the time to the
initrd's marker. Read ratios rather than seconds: machines are shared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from client_sdk import Client, FetchError, Publisher, SimulatedPlatform, attest
from provisioner.clouds.processes import cpu_seconds
from tests.e2e import machine
from tests.e2e.machine import BOOT_SECONDS, CHECKOUT, Machine

MODEL = "smollm2-135m-instruct"


@dataclass
class Clock:
    """Wall time and QEMU's CPU-seconds since the start of a boot."""

    started: float
    pid: int

    def show(self, what: str) -> float:
        used = cpu_seconds(self.pid)
        print(f"{what:<42}{time.monotonic() - self.started:8.1f} s wall {used:8.1f} CPU-s of QEMU")
        return used


def main() -> None:
    """Print what `docs/performance.md` holds."""
    root = CHECKOUT / "build/local"
    image = _deployed(root)
    with tempfile.TemporaryDirectory(dir=CHECKOUT / "build") as folder:
        work = Path(folder)
        machine.published_copy(root, work)
        _boot(image, work)
        _restore(image, work)


def _deployed(root: Path) -> Path:
    """Deploy twice through the playbook; the second run is the unchanged one."""
    for label in ("deploy", "deploy, unchanged"):
        started = time.monotonic()
        outcome = machine.make("deploy")
        assert outcome.status == 0, outcome.out[-3000:]
        print(f"{label:<42}{time.monotonic() - started:8.1f} s wall")
    return (root / "image").resolve()


def _boot(image: Path, work: Path) -> None:
    vm = machine.boot(image, work, "bench")
    try:
        _measure(vm, work)
    finally:
        vm.destroy()


def _measure(vm: Machine, work: Path) -> None:
    clock = Clock(time.monotonic(), vm.vm.pid)
    initrd = _console(vm, "VITRINE initrd", clock)
    _console(vm, "VITRINE ready", clock)
    arguments = _arguments(vm)
    _until(lambda: _accepted(vm))
    accepted = clock.show("start to accepted attestation")
    print(f"{'  ratio to the floor (initrd)':<42}{accepted / initrd:8.2f}")
    client = Client(vm.origin, **arguments, timeout=600)
    _until(lambda: _answers(client))
    clock.show("start to first chat token")
    started = time.monotonic()
    machine.snapshot(vm, work / "state")
    print(f"{'save the VM':<42}{time.monotonic() - started:8.1f} s wall")


def _console(vm: Machine, marker: str, clock: Clock) -> float:
    _until(lambda: marker in vm.console())
    return clock.show(f"start to {marker!r}")


def _answers(client: Client) -> bool:
    """Ask for one token; a service whose engine still loads says so."""
    import openai

    try:
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=1, temperature=0, stream=True
        )
        return any(chunk.choices and chunk.choices[0].delta.content for chunk in stream)
    except openai.InternalServerError:
        return False


def _restore(image: Path, work: Path) -> None:
    with _timed("restore to accepted attestation"):
        vm = machine.clone(work / "state", image, work, "bench-clone")
        try:
            _until(lambda: _accepted(vm))
        finally:
            vm.destroy()


def _accepted(vm: Machine) -> bool:
    try:
        attest(vm.origin, **_arguments(vm))
    except FetchError:
        return False
    return True


def _until(reached: Callable[[], bool]) -> None:
    """Wait for something that a boot may take minutes for, but not for ever."""
    deadline = time.monotonic() + BOOT_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened within {BOOT_SECONDS} s")
        time.sleep(0.1)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{what:<42}{time.monotonic() - started:8.1f} s wall")


def _arguments(vm: Machine) -> dict:
    return {
        "releases": vm.release,
        "publisher": Publisher(keys=(vm.publisher,)),
        "policy": SimulatedPlatform(tpm_ca=vm.tpm_ca),
    }
