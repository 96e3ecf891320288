"""A debug image as a developer has it: a root shell on its console, DEBUG wherever one looks, and nobody's trust."""

from __future__ import annotations

import json

import pytest

from provisioner.clouds import console
from tests.e2e import machine
from tests.e2e.lockdown import baking
from tests.e2e.lockdown.devconsole import Shell
from tests.e2e.machine import BOOT_SECONDS, CHECKOUT, Machine, make, vitrine
from tests.e2e.verdicts import verify
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.root]
NAME = "debugged"


@pytest.fixture(scope="module")
def debug(tmp_path_factory):
    """`make deploy` in that mode, as a developer types it: what it said, and the VM."""
    words = (f"NAME={NAME}", f"PORT={(port := free_port())}", "VARS=-e bake_mode=debug")
    try:
        said = make("deploy", *words)
        assert said.status == 0, said.out[-4000:] + said.err[-2000:]
        yield said, Machine(CHECKOUT / "build" / NAME, NAME, f"https://127.0.0.1:{port}")
    finally:
        make("destroy", *words)


def test_a_shell_answers_on_its_console_and_the_machine_is_locked_all_the_same(debug):
    _, vm = debug
    shell = Shell(vm.vm.directory / "console.sock", seconds=BOOT_SECONDS)
    shell.ready()
    assert "uid=0(root)" in shell.run("id")
    assert "[confidentiality]" in shell.run("cat /sys/kernel/security/lockdown")
    assert "rc=1" in shell.run("modprobe dummy; echo rc=$?")
    shell.close()


def test_debug_is_said_wherever_somebody_looks(debug):
    said, vm = debug
    assert "VITRINE DEBUG" in vm.console().partition(console.STAGES[1][0])[0], "before anything of the root runs"
    assert "DEBUG: this release is of an image with a console" in said.out
    assert "console.sock" in said.out
    accepted = vitrine("verify", vm.origin, *vm.pins)
    assert (accepted.status, "DEBUG: whoever reaches the VM's console" in accepted.out) == (0, True)
    assert "release   DEBUG: its image has a console" in vitrine("status", "--name", NAME).out
    (told,) = json.loads(vitrine("status", "--name", NAME, "--json").out)["deployments"]
    assert told["release"]["debug"] is True
    manifest = json.loads((vm.root / "manifest.json").read_bytes())
    assert "vitrine.mode=DEBUG" in manifest["boot"]["cmdline"].split()


def test_a_client_that_was_told_nothing_refuses_it(debug):
    _, vm = debug
    refused = vitrine("verify", vm.origin, "--release", vm.release, "--publisher", vm.publisher)
    assert refused.status == 1


def test_it_does_not_measure_what_productions_release_says(debug, tmp_path):
    """Its own TPM's CA, and the release of the image that it would be without its console."""
    _, vm = debug
    baking.publish(baking.bake("test", tmp_path), tmp_path)
    whole = ("--release", tmp_path / "release.json", "--publisher", tmp_path / "publisher.pub")
    found = verify(vm.origin, *whole, "--simulated", vm.tpm_ca)
    assert found.status == 1
    # The image, its partitions, the kernel's command line and initrd, its sections, what it says of itself.
    assert found.failed == {"L1.pcr4", "L1.pcr5", "L7.pcr9", "L1.pcr11", "L10.2", "L11.3"}


def test_productions_image_does_not_measure_what_its_release_says(debug, tmp_path):
    _, vm = debug
    image = baking.bake("test", tmp_path)
    machine.published_copy(vm.root, tmp_path / "other")
    other = machine.boot(image, tmp_path / "other", "whole")
    try:
        found = verify(other.origin, *other.pins, "--wait", BOOT_SECONDS)
    finally:
        other.destroy()
    assert found.failed >= {"L1.pcr4", "L10.2", "L11.3"}
