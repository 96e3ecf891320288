"""Secure Boot with keys of our own on a real VM: what is predicted is quoted, and nothing that nobody signed starts."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime

import pytest

from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from provisioner.image.firmware import firmware
from provisioner.platforms import LOCAL, local_secure_boot
from provisioner.publish import CANDIDATES, RELEASE, prepare
from provisioner.secure_boot import load_or_create_keys, sign_image, signed_image
from tests.e2e import machine
from tests.e2e.lockdown.esp import Esp
from tests.e2e.machine import BOOT_SECONDS, CACHE, CHECKOUT, Machine
from tests.e2e.verdicts import verify
from tests.ports import free_port

NAME = "secure"
REFUSED = "Access Denied"


@pytest.fixture(scope="module")
def secure():
    """A deployment with Secure Boot on, as a user makes it."""
    port = free_port()
    words = (f"NAME={NAME}", f"PORT={port}")
    root = CHECKOUT / "build" / NAME
    shutil.rmtree(root, ignore_errors=True)
    try:
        deployed = machine.make("deploy", *words, "VARS=-e deploy_secure_boot=true")
        assert deployed.status == 0, deployed.out[-4000:] + deployed.err[-2000:]
        yield Machine(root, NAME, f"https://127.0.0.1:{port}")
    finally:
        machine.make("destroy", *words)


def measurement(release, publisher):
    (found,) = open_release(release.read_bytes(), Publisher(keys=(publisher,))).measurements
    return found


def test_every_predicted_pcr_is_quoted_pcr_7_among_them(secure):
    assert measurement(secure.release, secure.publisher).boot_mode == "secure-boot"
    table = machine.make("pcr-table", f"NAME={NAME}", f"PORT={secure.origin.rsplit(':', 1)[1]}")
    assert table.status == 0, table.out + table.err
    assert "| 7 | Secure Boot state |" in table.out
    assert table.out.count("| equal |") == 12


def other_release(secure, root, *platforms):
    """Let the same publisher state, in another folder, another boot of the same image."""
    root.mkdir(parents=True)
    shutil.copy2(secure.root / "publisher.key", root / "publisher.key")
    image = (secure.root / "image").resolve()
    prepare(image, root, service=f"vitrine-{NAME}", now=datetime.now(UTC), platforms=platforms)
    return root / CANDIDATES[RELEASE]


def refused(secure, release):
    pins = ("--release", release, "--publisher", secure.publisher, "--simulated", secure.tpm_ca)
    verdict = verify(secure.origin, *pins)
    assert verdict.status == 1, verdict
    return verdict.failed


def test_the_release_of_a_boot_without_secure_boot_does_not_fit(secure, tmp_path):
    assert refused(secure, other_release(secure, tmp_path / "root", LOCAL)) == {"L1.pcr4", "L1.pcr7"}


def test_keys_of_somebody_else_are_another_pcr_7(secure, tmp_path):
    theirs = signed_image(secure.root / "image", tmp_path / "theirs", firmware(CACHE))
    release = other_release(secure, tmp_path / "root", local_secure_boot(theirs))
    assert refused(secure, release) == {"L1.pcr7"}


# --- what nobody in db signed does not start


@pytest.fixture
def start(secure, tmp_path):
    """Boot a disk on firmware that holds the deployment's keys; end the VM."""
    started = []

    def _start(disk):
        ours = signed_image(secure.root / "image", secure.root, firmware(CACHE))
        root = tmp_path / "vm"
        machine.published_copy(secure.root, root)
        values = {"boot_disk": str(disk), "firmware": str(ours.folder), "secure_boot": True}
        started.append(machine.boot((secure.root / "image").resolve(), root, "unsigned", **values))
        return started[-1]

    yield _start
    for item in started:
        item.destroy()


def wait_for_refusal(target):
    deadline = time.monotonic() + BOOT_SECONDS
    while REFUSED not in target.console():
        assert "VITRINE" not in target.console(), "it started"
        assert time.monotonic() < deadline, target.console()[-500:]
        time.sleep(1)


def test_the_image_as_it_was_baked_does_not_start(secure, start):
    wait_for_refusal(start((secure.root / "image").resolve() / "boot.raw"))


def test_an_image_that_somebody_else_signed_does_not_start(secure, start, tmp_path):
    theirs = load_or_create_keys(tmp_path / "keys")
    image = (secure.root / "image").resolve()
    wait_for_refusal(start(sign_image(image, tmp_path / "signed", firmware(CACHE), theirs).boot_disk))


# --- nor does what lies beside it


@pytest.mark.slow
def test_an_addon_that_nobody_signed_is_not_loaded(secure, start, tmp_path):
    """Without Secure Boot it is loaded, and the boot refused: tests/e2e/lockdown/test_refused_inputs.py."""
    ours = signed_image(secure.root / "image", secure.root, firmware(CACHE))
    disk = tmp_path / "copy" / "boot.raw"
    disk.parent.mkdir()
    shutil.copyfile(ours.boot_disk, disk)
    esp = Esp.of(disk)
    esp.put("loader/addons/debug.addon.efi", esp.addon(".cmdline", b"systemd.debug_shell=1"))
    vm = start(disk)
    verdict = verify(vm.origin, *secure.pins, "--wait", BOOT_SECONDS)
    assert (verdict.status, verdict.failed) == (0, frozenset())
