"""Keys, BREAKs, buttons and interrupts of the host's: the machine goes on as if nothing had been, and says nothing."""

from __future__ import annotations

import contextlib
import re
import string
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e import machine
from tests.e2e.lockdown import host, probe
from tests.e2e.lockdown.terminal import Terminal, with_terminal
from tests.e2e.machine import BOOT_SECONDS, vitrine

SYSRQ = string.ascii_lowercase + string.digits
INTERRUPTS = b"\x03\x1c\x1a\x04"  # interrupt, quit, stop, end of file
TYPED = INTERRUPTS + b"\r\nroot\r\nsystemctl rescue\r\n"
STAMP = re.compile(r"\[ *\d+\.\d{6}\]")
CONTROL = "test_a_guest_that_looks_sees_every_key"


@contextlib.contextmanager
def at_the_machine(vm):
    with host.monitor(vm) as qmp, Terminal(vm) as terminal:
        yield qmp, terminal


@pytest.fixture
def watched(deployment, tmp_path):
    """A clone of the saved VM whose console takes input."""
    machine.published_copy(deployment.root, tmp_path)
    made = machine.clone(deployment.saved, deployment.image, tmp_path, "watched", edit=with_terminal)
    yield made
    made.destroy()


@pytest.mark.property("no_interactive_access", inside="sysctl", control=CONTROL)
def test_no_key_and_no_button_does_anything(watched, figures):
    with at_the_machine(watched) as (qmp, terminal):
        terminal.type(TYPED)
        for letter in SYSRQ:
            terminal.sysrq(letter)
            time.sleep(0.05)
        for letter in SYSRQ:
            host.press(qmp, "alt", "sysrq", letter)
        for _ in range(8):  # systemd's own limit is seven in two seconds
            host.press(qmp, "ctrl", "alt", "delete")
        host.press(qmp, "alt", "up")
        qmp.execute("system_powerdown")
        qmp.execute("inject-nmi")
    verdict = vitrine("verify", watched.origin, *watched.pins, seconds=300)
    assert verdict.status == 0, verdict.out + verdict.err
    assert vitrine("ask", watched.origin, "Hello", *watched.pins, "--max-tokens", 1, seconds=300).status == 0
    assert probe.said(watched) == ""
    figures(f"{2 * len(SYSRQ)} SysRq commands, 8 Ctrl-Alt-Del, button, NMI", "0 bytes on the console")


@pytest.mark.slow
@pytest.mark.property("no_interactive_access", inside="sysctl", control=CONTROL)
def test_keys_during_the_whole_boot_change_nothing(boot, figures):
    # The firmware takes keys as well, and would show its menu: that is its part of the boot, measured and over by then.
    vm = boot(label="keys", edit=with_terminal)
    probe.wait_for(vm, "BdsDxe: starting")
    pressed = 0
    with at_the_machine(vm) as (qmp, terminal), ThreadPoolExecutor() as beside:
        verdict = beside.submit(vitrine, "verify", vm.origin, *vm.pins, "--wait", BOOT_SECONDS, seconds=900)
        while not verdict.done():
            for letter in "9tm":  # louder, tasks, memory; b and o would only end it
                terminal.type(INTERRUPTS)
                terminal.sysrq(letter)
                host.press(qmp, "alt", "sysrq", letter)
                pressed += 1
    said = probe.said(vm)
    figures(f"{2 * pressed} SysRq commands, {pressed} Ctrl-C", "0 lines of the kernel")
    assert verdict.result().status == 0, (verdict.result().out, said)
    # Until it is told otherwise, still before the initrd, the kernel takes orders. From there on it is silent.
    assert STAMP.search(said[said.index("VITRINE") :]) is None


@pytest.mark.slow
def test_a_guest_that_looks_sees_every_key(boot, deployment, tmp_path):
    folder = probe.make_probe(deployment.image, tmp_path / "probe")
    vm = boot(image=folder, label="probe", edit=with_terminal)
    probe.wait_for(vm, probe.READY)
    with at_the_machine(vm) as (qmp, terminal):
        terminal.type(b"root\r\n")
        probe.wait_for(vm, "PROBE typed root")
        qmp.execute("inject-nmi")
        probe.wait_for(vm, "NMI received")
        terminal.sysrq("9")
        assert STAMP.search(probe.wait_for(vm, "sysrq: Changing Loglevel"))
        host.press(qmp, "alt", "sysrq", "h")
        probe.wait_for(vm, "sysrq: HELP")
        qmp.execute("system_powerdown")
        terminal.type(b"button\r\n")
        assert probe.wait_for(vm, "PROBE button").split("PROBE button")[1].split()[0] == "1"
        host.press(qmp, "ctrl", "alt", "delete")
        probe.wait_for_end(vm)
