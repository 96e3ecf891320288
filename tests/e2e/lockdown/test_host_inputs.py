"""What a host offers at boot or plugs in later, and the image takes none of.

One boot has everything at once; what is plugged in goes to clones of that VM. Where the boot is refused, halves of
``VITRINE_INPUTS=name,name`` find which input it was.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.clouds.console import READY, lines, read_tail
from provisioner.image.firmware import firmware
from tests.e2e import disks, machine
from tests.e2e.lockdown import host, inputs, probe
from tests.e2e.machine import CACHE, Outcome, vitrine

pytestmark = pytest.mark.slow
FIRMWARE = "BdsDxe: "
# The devices that a VM of ours is made of, and the second network card: their drivers are in the image.
KNOWN = {"virtio-net", "virtio-blk"}
PLUGGED = {
    "port0": "virtio-rng-pci",
    "port1": "virtio-blk-pci",
    "port2": "virtio-net-pci",
    "port3": "virtio-serial-pci",
    "port4": "nvme",
    "port5": "virtio-keyboard-pci",
    "port6": "qemu-xhci",
}
# It stays without a driver in every guest: the kernel knows no USB.
USB = "port6"
# Several times what the probe takes.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """What came of the boot with everything, and its saved state."""

    folder: Path
    extra: tuple[str, ...]
    saved: Path
    verdict: Outcome
    console: str
    taken: dict[str, str]
    before: dict[str, str]
    after: dict[str, str]
    spoken: list[str]


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def crowd(deployment, tmp_path_factory):
    top = tmp_path_factory.mktemp("crowd")
    folder, root = top / "host", top / "vm"
    folder.mkdir()
    inputs.write_disks(folder)
    variables = disks.edited_variables(firmware(CACHE).variables, top / "vars.fd", *inputs.VARIABLES)
    extra, before = inputs.arguments(inputs.chosen(), folder), digests(folder)
    machine.published_copy(deployment.root, root)
    vm = machine.boot(deployment.image, root, "crowd", extra=extra, variables=variables)
    try:
        verdict = vitrine("verify", vm.origin, *vm.pins, "--wait", 600, seconds=900)
        with host.monitor(vm) as qmp:
            taken = host.taken(qmp)
        console, after = probe.wait_for(vm, READY), digests(folder)
        machine.snapshot(vm, top / "saved")
    finally:
        vm.destroy()
    spoken = [text for path in folder.glob("*.log") for text in lines(read_tail(path)) if FIRMWARE not in text]
    return Crowd(folder, extra, top / "saved", verdict, console, taken, before, after, spoken)


@pytest.mark.property("no_host_input", inside="credentials", control="test_a_guest_that_looks_sees_all_of_it")
def test_what_is_offered_at_boot_changes_nothing(crowd, figures):
    names = [one.name for one in inputs.chosen()]
    figures(f"{len(names)} inputs, {len(inputs.VARIABLES)} variables", f"taken: {len(crowd.taken)} known devices")
    # PCR 15's lock-down event is only there when the self-check found no credential.
    assert crowd.verdict.status == 0, (crowd.verdict.out + crowd.verdict.err, f"VITRINE_INPUTS={','.join(names)}")
    shown = [line for line in lines(crowd.console) if FIRMWARE not in line]
    assert shown == ["VITRINE initrd", "VITRINE ready"]
    assert set(crowd.taken.values()) <= KNOWN
    # Nothing was written to a disk of the host's, nor said through a device.
    changed = {name for name, digest in crowd.after.items() if crowd.before.get(name, digest) != digest}
    assert changed == set()
    assert crowd.spoken == []


@pytest.fixture
def clone(crowd, deployment, tmp_path):
    machine.published_copy(deployment.root, tmp_path)
    made = machine.clone(crowd.saved, deployment.image, tmp_path, "crowd", extra=crowd.extra)
    yield made
    made.destroy()


def plug_in(qmp):
    """Plug in everything."""
    qmp.execute("netdev_add", {"type": "user", "id": "plugged", "restrict": True})
    for node in ("plugged-disk", "plugged-nvme"):
        qmp.execute("blockdev-add", {"driver": "null-co", "node-name": node, "size": 1 << 20})
    options = {
        "virtio-blk-pci": {"drive": "plugged-disk"},
        "virtio-net-pci": {"netdev": "plugged", "romfile": ""},
        "nvme": {"drive": "plugged-nvme", "serial": "1"},
    }
    for port, driver in PLUGGED.items():
        host.plug(qmp, port, driver, **options.get(driver, {}))
    qmp.execute("device_add", {"driver": "usb-kbd", "bus": f"in-{USB}.0"})


@pytest.mark.property("no_host_input", inside="hot-plug", control="test_a_guest_that_looks_sees_all_of_it")
def test_what_is_plugged_in_gets_no_driver(crowd, clone, figures):
    with host.monitor(clone) as qmp:
        plug_in(qmp)
        time.sleep(PATIENCE)
        assert host.enabled(qmp) == set()
        assert set(host.taken(qmp)) == set(crowd.taken)
    figures(f"{len(PLUGGED) + 1} devices plugged in", "0 taken")
    outcome = vitrine("verify", clone.origin, *clone.pins, seconds=300)
    assert outcome.status == 0, outcome.out + outcome.err
    assert vitrine("ask", clone.origin, "Hello", *clone.pins, "--max-tokens", 1, seconds=300).status == 0
    assert probe.said(clone) == ""


def test_a_guest_that_looks_sees_all_of_it(crowd, deployment, tmp_path):
    """The positive control: the same words to QEMU, and a guest without our image's rules."""
    root = tmp_path / "vm"
    machine.published_copy(deployment.root, root)
    variables = disks.edited_variables(firmware(CACHE).variables, tmp_path / "vars.fd", *inputs.VARIABLES)
    folder = probe.make_probe(deployment.image, tmp_path / "probe")
    vm = machine.boot(folder, root, "probe", extra=crowd.extra, variables=variables)
    try:
        text = probe.wait_for(vm, probe.READY)
        assert [one.name for one in inputs.chosen() if one.sign not in text] == []
        assert [name for name, _, _ in inputs.VARIABLES if f"PROBE variable {name}-" not in text] == []
        with host.monitor(vm) as qmp:
            plug_in(qmp)
            deadline = time.monotonic() + probe.SECONDS
            while (found := host.enabled(qmp)) != set(PLUGGED) - {USB}:
                assert time.monotonic() < deadline, found
                time.sleep(0.5)
    finally:
        vm.destroy()
