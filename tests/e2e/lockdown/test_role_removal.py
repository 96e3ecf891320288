"""Each lock-down role is taken out of a bake: what the host, or somebody inside, gets then that is refused otherwise.

The same probe is tried on the whole image and on the one without the role, so each is the other's control. Where a host
can try it, the whole image is production's. What only somebody inside can try is tried through the console of a debug
image, which has production's roles and that console. It takes minutes a role: `make test-lockdown`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import pytest
import yaml

from provisioner.clouds import console
from provisioner.clouds.qmp import Address, Qmp
from tests.e2e import machine
from tests.e2e.lockdown import baking, frames
from tests.e2e.lockdown.devconsole import Shell
from tests.e2e.machine import BOOT_SECONDS, Machine
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.root]
# They lock nothing down: what they bring, or a debug image's console.
OTHERS = {"base", "engine", "attester", "gpu", "gateway", "debug_console"}
CLOSED = 22
TOOLS = ("bash", "perl", "dpkg", "su", "nsenter", "setpriv", "systemd-run", "journalctl")
CANARY = "c4n4ry"
SECONDS = 30  # that nothing happens is watched for so long


def ctrl_alt_del(vm: Machine) -> str:
    """Press three keys as the host; say whether the VM obeys."""
    reached(vm, console.READY)
    with qmp(vm) as host:
        host.execute("send-key", {"keys": [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]})
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if vm.vm is None or vm.vm.pid is None:
            return "it restarts"
        time.sleep(1)
    return "nothing"


def journal(shell: Shell, _: Machine) -> str:
    """Start the journal as root, and let a program say something secret; say whether it is kept."""
    shell.run("systemctl start systemd-journald.service")
    shell.run(f"echo {CANARY} | systemd-cat; sleep 3")
    found = shell.run(f"cat /run/log/journal/*/* /var/log/journal/*/* 2>/dev/null | grep -c -a {CANARY}")
    return "nothing" if found.split()[-1] == "0" else "the line is kept"


def closed_port(vm: Machine) -> str:
    """Connect to a port on which nobody listens; say what leaves the VM, whatever it is."""
    port = free_port()
    with qmp(vm) as host:
        host.execute("human-monitor-command", {"command-line": f"hostfwd_add net tcp:127.0.0.1:{port}-:{CLOSED}"})
    until, dump = time.monotonic() + SECONDS, vm.vm.directory / "frames.pcap"
    while not (told := frames.tcp(dump, port=CLOSED))[1] and (time.monotonic() < until or not told[0]):
        assert time.monotonic() < until + BOOT_SECONDS, "no frame reached the VM: the probe proves nothing"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as sent:
            sent.settimeout(2)
            sent.recv(1)
    return "an answer" if told[1] else "nothing"


def entropy(vm: Machine) -> str:
    """Offer entropy as the host; say whether the kernel takes any after the firmware has handed over."""
    kernel = 0
    with socket.socket(socket.AF_UNIX) as egd:
        folder = os.open(vm.vm.directory, os.O_PATH)
        egd.connect(f"/proc/self/fd/{folder}/egd.sock")
        os.close(folder)
        egd.settimeout(1)
        until = time.monotonic() + BOOT_SECONDS
        while not kernel and time.monotonic() < until and not ended(vm) and console.READY not in vm.console():
            with contextlib.suppress(TimeoutError):
                request = egd.recv(2)
                kernel += "VITRINE initrd" in vm.console()
                egd.sendall(bytes(request[1] if len(request) > 1 else 1))
    return "the kernel takes it" if kernel else "nothing"


def module(shell: Shell, _: Machine) -> str:
    """Load a kernel module as root."""
    shell.run("modprobe dummy")
    return "it is loaded" if "there" in shell.run("[ -d /sys/module/dummy ] && echo th''ere") else "nothing"


def tools(shell: Shell, _: Machine) -> str:
    """Start programs that no service needs, as the engine's user."""
    start = "import os, sys; os.setgid(882); os.setuid(882); os.execvp(sys.argv[1], sys.argv[1:])"
    one = f"python3 -S -c '{start}' $tool --version >/dev/null 2>&1 && echo st''arted"
    started = shell.run(f"for tool in {' '.join(TOOLS)}; do {one}; done").count("started")
    return f"{started} of {len(TOOLS)} tools start" if started else "nothing"


def kernel_log(shell: Shell, _: Machine) -> str:
    """Look for the kernel's log where the gateway, were it taken over, would look: among the devices that it sees."""
    gateway = "grep -l -a serving.gateway /proc/[0-9]*/cmdline | grep -v self | head -n 1 | xargs dirname"
    seen = shell.run(
        f"[ -e $({gateway})/root/dev/kmsg ] && echo th''ere; [ -e $({gateway})/root/dev/null ] && echo lo''oked"
    )
    assert "looked" in seen, f"the gateway was not found: {seen}"
    return "the gateway sees it" if "there" in seen else "nothing"


@dataclass(frozen=True, slots=True)
class Removal:
    """A role, what is tried, where, and what the gate says at least of a tree without the role."""

    probe: Callable[..., str]
    gate: frozenset[str]
    inside: bool = False


# Both are there for every probe, so that one boot of the whole image does for all of them.
DUMP = ("-object", "filter-dump,id=dump,netdev=net,file=frames.pcap")
EGD = ("-chardev", "socket,id=egd,path=egd.sock,server=on,wait=off", "-object", "rng-egd,id=rng,chardev=egd")
EXTRA = (*DUMP, *EGD, "-device", "virtio-rng-pci,rng=rng")
REMOVALS = {
    "no_interactive_access": Removal(
        ctrl_alt_del, frozenset({"getty", "logind", "rescue-shell", "power-state", "login-shell"})
    ),
    "no_persistence": Removal(journal, frozenset({"journal", "swap"}), inside=True),
    "no_host_input": Removal(entropy, frozenset({"credentials-off", "host-units", "pcr-15"})),
    "egress_firewall": Removal(closed_port, frozenset({"firewall"})),
    "kernel_hardening": Removal(module, frozenset(), inside=True),
    "service_sandbox": Removal(kernel_log, frozenset({"sandbox"}), inside=True),
    "minimal_userland": Removal(tools, frozenset({"package-manager", "privilege-tool", "compiler"}), inside=True),
}
INSIDE = {
    "no_interactive_access": "none: no key reaches it",
    "no_persistence": "logs",
    "no_host_input": "none: the driver is never loaded",
    "egress_firewall": "firewall",
    "kernel_hardening": "sysctl",
    "service_sandbox": "none: the bake's own systemd judges units",
    "minimal_userland": "none: what is not there is measured",
}


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The folder of a deployment of production's image; its TPM CA and accelerator are those of all VMs here."""
    folder = tmp_path_factory.mktemp("removal")
    baking.publish(baking.bake("test", folder), folder)
    return folder


@pytest.fixture(scope="session")
def start(root):
    """Boot VMs from nothing; they end with the run at the latest."""
    started = []

    def _start(image, *, inside):
        name = f"removal-{len(started)}"
        started.append(machine.boot(image, root, name, extra=EXTRA, console=inside))
        return started[-1]

    yield _start
    for vm in started:
        vm.destroy()


@pytest.fixture(scope="session")
def in_shell():
    """Return the probes that somebody inside tries, for one VM; its console is let go at the end of the run."""
    with contextlib.ExitStack() as stack:

        def _in_shell(vm):
            shell = Shell(vm.vm.directory / "console.sock", seconds=2 * BOOT_SECONDS)
            stack.callback(shell.close)
            shell.ready()
            return {probe: partial(probe, shell) for probe in (journal, kernel_log, module, tools)}

        yield _in_shell


@pytest.fixture(scope="session")
def whole(root, start, in_shell, tmp_path_factory):
    """The whole images, each booted once: production's, and the debug one with the shell on its console.

    The host offers entropy during the boot, so what was taken is kept.
    """

    @cache
    def _whole(inside):
        if not inside:
            vm = start((root / "image").resolve(), inside=False)
            taken = entropy(vm)
            return vm, {entropy: lambda _: taken}
        vm = start(baking.bake("debug", tmp_path_factory.mktemp("debug")), inside=True)
        reached(vm, console.READY)
        return vm, in_shell(vm)

    return _whole


@pytest.mark.parametrize(
    "role",
    [
        pytest.param(role, marks=pytest.mark.property(role, inside=inside, control="test_taken_out_of_a_bake"))
        for role, inside in INSIDE.items()
    ],
)
def test_taken_out_of_a_bake(role, start, in_shell, whole, tmp_path, figures):
    removal = REMOVALS[role]
    image, refused = baking.bake_without(role, "debug" if removal.inside else "test", tmp_path)
    assert refused >= removal.gate
    vm = start(image, inside=removal.inside)
    probe = in_shell(vm)[removal.probe] if removal.inside else removal.probe
    lacking = probe(vm)
    vm.destroy()
    vm, probes = whole(removal.inside)
    held = probes.get(removal.probe, removal.probe)(vm)
    figures(f"gate: {', '.join(sorted(refused)) or 'no rule'}", f"with it: {held}", f"without it: {lacking}")
    assert held == "nothing"
    assert lacking != "nothing"
    if not removal.inside:
        assert machine.vitrine("verify", vm.origin, *vm.pins, "--wait", 60).status == 0, "the whole one serves on"


def test_every_role_that_locks_something_down_is_taken_out():
    roles = yaml.safe_load(baking.PLAYBOOK.read_text())[1]["roles"]
    assert set(REMOVALS) == {entry if isinstance(entry, str) else entry["role"] for entry in roles} - OTHERS


def reached(vm: Machine, text: str) -> None:
    until = time.monotonic() + BOOT_SECONDS
    while text not in vm.console():
        assert not ended(vm), vm.console()[-600:]
        assert time.monotonic() < until, f"{text!r} never came: {vm.console()[-600:]}"
        time.sleep(1)


def ended(vm: Machine) -> bool:
    return vm.vm is None or vm.vm.pid is None


def qmp(vm: Machine) -> Qmp:
    return Qmp(Address(vm.vm.directory / "qmp.sock", 30))
