"""Disks that do not give what is on them, and what a panic leaves behind: nothing that a host could read.

A disk that fails is a way to take parts out of a verified image: systemd leaves out a drop-in that it cannot read, and
every measurement is as before.
"""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest

from provisioner.clouds.console import lines
from provisioner.measure.gpt import find_partition, read_table
from tests.e2e.lockdown import host, probe
from tests.e2e.lockdown.terminal import Terminal, with_terminal
from tests.e2e.machine import BOOT_SECONDS, vitrine

BLOCK, SECTOR = 4096, 512
# The confinement of every service; it shares its block with nothing that a boot needs.
ROLES = Path(__file__).resolve().parents[3] / "roles"
CONFINED = ROLES / "service_sandbox/files/tree/usr/lib/systemd/system/vitrine-.service.d/10-sandbox.conf"
STORE = 1 << 16


def unreadable(offset):
    """Let reads of one block of the boot disk fail, and keep QEMU when the guest is gone."""

    def edit(argv):
        place = next(index for index, word in enumerate(argv) if '"node-name":"boot"' in word)
        disk = json.loads(argv[place])
        first = offset // BLOCK * (BLOCK // SECTOR)
        fault = {"event": "none", "iotype": "read", "errno": 5, "once": False, "immediately": False}
        faults = [fault | {"sector": first + sector} for sector in range(BLOCK // SECTOR)]
        disk["file"] = {"driver": "blkdebug", "image": disk["file"], "inject-error": faults}
        return (*argv[:place], json.dumps(disk, separators=(",", ":")), *argv[place + 1 :], "-no-shutdown")

    return edit


def failed_reads(qmp):
    return sum(one["stats"]["failed_rd_operations"] for one in qmp.execute("query-blockstats"))


def storage(path):
    """Offer the guest storage for what its kernel says last: an ERST, as servers do (ACPI 6.5, 18.5)."""
    backend = f"memory-backend-file,id=store,mem-path={path},size={STORE},share=on"
    return "-object", backend, "-device", "acpi-erst,memdev=store"


def records(path):
    """Return how many records are in the storage, by QEMU's header of it."""
    magic, count = struct.unpack_from("<8s12xI", path.read_bytes())
    assert magic == b"ERSTSTOR"
    return count


@pytest.mark.slow
@pytest.mark.property(
    "no_host_input", inside="root-verity", control="test_the_same_disk_whose_fault_nobody_meets_is_accepted"
)
def test_a_disk_that_holds_back_the_confinement_of_services_ends_the_machine(boot, deployment, tmp_path, figures):
    disk, store = (deployment.image / "boot.raw").read_bytes(), tmp_path / "store"
    text = CONFINED.read_bytes()
    assert disk.count(text) == 1
    offset = disk.index(text)
    assert offset // BLOCK == (offset + len(text)) // BLOCK, "it is in one block no more: the test has to fail them all"
    vm = boot(*storage(store), label="held", edit=unreadable(offset))
    deadline = time.monotonic() + BOOT_SECONDS
    with host.monitor(vm) as qmp:
        while qmp.execute("query-status")["status"] != "shutdown":
            assert "VITRINE ready" not in probe.said(vm), "it runs without confinement"
            assert time.monotonic() < deadline, probe.said(vm)
            time.sleep(1)
        assert failed_reads(qmp) > 0
    # Of the panic nothing is told, neither on the console nor to the storage that is there for it.
    assert [line for line in lines(probe.said(vm)) if "BdsDxe" not in line] == ["VITRINE initrd"]
    assert records(store) == 0
    figures("1 block of 4 KiB", "ended; 0 lines, 0 records")


@pytest.mark.slow
def test_the_same_disk_whose_fault_nobody_meets_is_accepted(boot, deployment):
    with (deployment.image / "boot.raw").open("rb") as opened:
        root = find_partition(read_table("boot.raw", opened), "vitrine-root")
    vm = boot(label="spare", edit=unreadable(root.offset + root.size))
    verdict = vitrine("verify", vm.origin, *vm.pins, "--wait", BOOT_SECONDS, seconds=900)
    assert verdict.status == 0, verdict.out + verdict.err


@pytest.mark.slow
def test_a_guest_that_panics_would_fill_that_storage_and_the_console(boot, deployment, tmp_path):
    folder, store = probe.make_probe(deployment.image, tmp_path / "probe"), tmp_path / "store"
    vm = boot(*storage(store), image=folder, label="probe", edit=with_terminal)
    probe.wait_for(vm, probe.READY)
    with Terminal(vm) as terminal:
        terminal.type(b"crash\r\n")
        probe.wait_for(vm, "Kernel panic")
        deadline = time.monotonic() + probe.SECONDS
        while not records(store):
            assert time.monotonic() < deadline
            time.sleep(0.5)
