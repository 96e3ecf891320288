"""One real deployment for all end-to-end tests; functional ones start from its saved state."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from provisioner.clouds.console import READY
from tests.e2e import machine
from tests.e2e.machine import BOOT_SECONDS, CHECKOUT, Machine, Outcome
from tests.ports import free_port

NAME = "e2e"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `make` said while the first VM ran, and what is left of it."""

    root: Path
    image: Path
    saved: Path
    first: Outcome
    second: Outcome
    pids: tuple[int, int]
    table: Outcome
    gone: Outcome


def pytest_collection_modifyitems(items):
    # The hook sees every test of the run, also those of other folders.
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory):
    """`make deploy` twice, as a user types it, then the table of PCRs; then the VM's state is saved."""
    root = CHECKOUT / "build" / NAME
    shutil.rmtree(root, ignore_errors=True)
    port = free_port()
    target = Machine(root, NAME, f"https://127.0.0.1:{port}")
    words = (f"NAME={NAME}", f"PORT={port}")
    try:
        first = machine.make("deploy", *words)
        assert first.status == 0, first.out[-4000:] + first.err[-2000:]
        pid = target.vm.pid
        second = machine.make("deploy", *words)
        pids = (pid, target.vm.pid)
        table = machine.make("pcr-table", *words)
        saved = tmp_path_factory.mktemp("saved") / "state"
        machine.snapshot(target, saved)
    finally:
        gone = machine.make("destroy", *words)
    image = (root / "image").resolve()
    return Deployment(root, image, saved, first, second, pids, table, gone)


@pytest.fixture
def vm(deployment, tmp_path):
    """A clone of the saved VM: seconds, not a boot."""
    machine.published_copy(deployment.root, tmp_path)
    clone = machine.clone(deployment.saved, deployment.image, tmp_path, f"clone-{next(_numbers)}")
    yield clone
    clone.destroy()


@pytest.fixture
def linked(vm):
    """The clone where this checkout's commands look for deployments."""
    link = CHECKOUT / "build" / vm.name
    link.symlink_to(vm.root)
    yield vm
    link.unlink()


@pytest.fixture
def boot(deployment, tmp_path):
    """Boots VMs from nothing, with what a hostile host adds, and ends them."""
    started = []

    def _boot(*extra, image=deployment.image, label="cold", **values):
        name = f"{label}-{next(_numbers)}"
        root = tmp_path / name
        machine.published_copy(deployment.root, root)
        started.append(machine.boot(image, root, name, extra=extra, **values))
        return started[-1]

    yield _boot
    for item in started:
        item.destroy()


@pytest.fixture
def image_copy(deployment, tmp_path):
    """A copy of the image that a test may damage."""
    copy = tmp_path / "image"
    copy.mkdir()
    for item in deployment.image.iterdir():
        if item.name in {"boot.raw", "model.raw"}:
            shutil.copyfile(item, copy / item.name)
    return copy


def wait_for_end(target: Machine, seconds: float = BOOT_SECONDS) -> str:
    """Wait until the VM has switched itself off; return what its console says."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = target.vm
        if found is None or found.pid is None:
            return target.console()
        time.sleep(1)
    pytest.fail(f"the VM still runs after {seconds} s; console: {target.console()[-500:]}")


def never_came_up(target: Machine) -> str:
    """Require that the VM ends before it serves, and that its kernel says nothing; return what its console says."""
    console = wait_for_end(target)
    assert READY not in console
    assert "panic" not in console.lower(), "the kernel speaks"
    assert machine.vitrine("verify", target.origin, *target.pins).status == 3
    return console


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
