"""Each lock-down role is taken out of a bake: what the host, or somebody inside, gets then that is refused otherwise.

The same probe is tried on the whole image and on the one without the role, so each is the other's control. Where a host
can try it, the whole image is production's. What only somebody inside can try is tried through the console of a debug
image, which has production's roles and that console. It takes minutes a role: `make test-lockdown`.
"""

from __future__ import annotations

import contextlib
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
# A unit with a name like those of ours looks at what it sees. PID 1 reads it, and starts what its target wants.
STARTING = """
import os, pathlib, signal, time
units = pathlib.Path("/run/systemd/system")
unit, own, wants = (units / name for name in ("vitrine-x.service", "vitrine-x.service.d", "multi-user.target.wants"))
own.mkdir(parents=True)
wants.mkdir(exist_ok=True)
unit.write_text("[Service]\\nExecStart=/bin/sh -c '[ -e /dev/kmsg ] && echo there; echo looked'\\n")
(own / "20-needs.conf").write_text("[Service]\\nStandardOutput=file:/run/seen\\n")
(wants / unit.name).symlink_to(unit)
os.kill(1, signal.SIGHUP)
time.sleep(5)
os.kill(1, signal.SIGRTMIN)
"""
SECONDS = 30  # that nothing happens is watched for so long


def ctrl_alt_del(shell: Shell, vm: Machine) -> str:
    """Send PID 1 what the kernel sends it for Ctrl-Alt-Del; say whether the machine obeys."""
    shell.run("kill -INT 1")
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if ended(vm):
            return "it restarts"
        time.sleep(1)
    return "nothing"


def written(shell: Shell, _: Machine) -> str:
    """Write a file where programs leave theirs; say whether it stays."""
    said = shell.run(f"echo {CANARY} >/tmp/note; read -r line </tmp/note && echo le''ft $line")
    return "it stays" if f"left {CANARY}" in said else "nothing"


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


def exchanged(shell: Shell, _: Machine) -> str:
    """Take the network card out and look for it again; say whether a driver takes what is found."""
    cards = shell.run("for card in /sys/class/net/*; do [ -e $card/device ] && echo $card; done").split()
    assert len(cards) == 1, f"the card was not found: {cards}"
    shell.run(f"cd -P {cards[0]}/device/.. && echo 1 >remove; cd /run; echo 1 >/sys/bus/pci/rescan")
    time.sleep(SECONDS / 3)
    seen = shell.run(
        "for card in /sys/class/net/*; do [ -e $card/device ] && echo dri''ven; done;"
        " for card in /sys/bus/virtio/devices/*; do read -r type <$card/device; echo $type; done"
    )
    assert "0x0001" in seen, f"no card was found again: {seen}"
    return "a driver takes it" if "driven" in seen else "nothing"


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
    """Look for the kernel's log where a service of ours, were it taken over, would: among the devices that it sees."""
    shell.python(STARTING)
    until = time.monotonic() + BOOT_SECONDS
    while "looked" not in (seen := shell.run("while read -r line; do echo $line; done </run/seen")):
        assert time.monotonic() < until, f"the service did not start: {seen}"
        time.sleep(1)
    return "the service sees it" if "there" in seen else "nothing"


@dataclass(frozen=True, slots=True)
class Removal:
    """A role, what is tried, where, and what the gate says at least of a tree without the role."""

    probe: Callable[..., str]
    gate: frozenset[str]
    inside: bool = False


DUMP = ("-object", "filter-dump,id=dump,netdev=net,file=frames.pcap")
REMOVALS = {
    "no_interactive_access": Removal(
        ctrl_alt_del, frozenset({"getty", "logind", "rescue-shell", "power-state", "login-shell"}), inside=True
    ),
    "no_persistence": Removal(written, frozenset({"journal", "swap"}), inside=True),
    "no_host_input": Removal(exchanged, frozenset({"credentials-off", "host-units", "pcr-15"}), inside=True),
    "egress_firewall": Removal(closed_port, frozenset({"firewall"})),
    "kernel_hardening": Removal(module, frozenset(), inside=True),
    "service_sandbox": Removal(kernel_log, frozenset({"sandbox"}), inside=True),
    "minimal_userland": Removal(tools, frozenset({"package-manager", "privilege-tool", "compiler"}), inside=True),
}
INSIDE = {
    "no_interactive_access": "none: no key reaches it",
    "no_persistence": "mounts",
    "no_host_input": "hot-plug",
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
        started.append(machine.boot(image, root, name, extra=DUMP, console=inside))
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
            return {
                probe: partial(probe, shell) for probe in (ctrl_alt_del, exchanged, kernel_log, module, tools, written)
            }

        yield _in_shell


@pytest.fixture(scope="session")
def whole(root, start, in_shell, tmp_path_factory):
    """The whole images, each booted once: production's, and the debug one with the shell on its console."""

    @cache
    def _whole(inside):
        if not inside:
            return start((root / "image").resolve(), inside=False), {}
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
