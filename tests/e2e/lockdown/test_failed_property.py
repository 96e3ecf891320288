"""An image that breaks one of its own properties: its boot powers off, and nobody is served."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.e2e import machine
from tests.e2e.conftest import wait_for_end
from tests.e2e.machine import BIN, CACHE, CHECKOUT, vitrine

SETTINGS = "roles/kernel_hardening/files/tree/etc/sysctl.d/60-kernel-hardening.conf"
KEPT, BROKEN = "kernel.io_uring_disabled = 2", "kernel.io_uring_disabled = 0"


@pytest.fixture
def broken_image(tmp_path):
    """Bake this checkout with one setting changed, as a mistake in a role would; the gate cannot know it."""
    copy = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("build", ".venv", ".git", "__pycache__", ".*_cache")
    shutil.copytree(CHECKOUT, copy, ignore=left_out, symlinks=True)
    settings = (copy / SETTINGS).read_text()
    assert KEPT in settings
    (copy / SETTINGS).write_text(settings.replace(KEPT, BROKEN))
    output = tmp_path / "images"
    words = ("-e", f"bake_output={output}", "-e", f"bake_cache={CACHE}")
    argv = (BIN / "ansible-playbook", "playbooks/bake.yml", "-i", "inventories/local", *words)
    env = {"PYTHONPATH": str(copy), "ANSIBLE_CONFIG": str(copy / "ansible.cfg")}
    done = machine.run(*argv, cwd=copy, env=env)
    assert done.status == 0, done.out[-3000:] + done.err[-1000:]
    (image,) = [path.parent for path in output.glob("*/boot.raw")]
    return image


@pytest.mark.slow
@pytest.mark.property(
    "kernel_hardening", inside="sysctl", control="test_the_same_checkout_with_the_setting_as_it_should_be_serves"
)
def test_an_image_that_breaks_a_property_never_serves(boot, broken_image, figures):
    vm = boot(image=broken_image, label="broken")
    console = wait_for_end(vm)
    # The initrd was content; what ended the boot came after it.
    assert "VITRINE initrd" in console
    assert "VITRINE-REFUSED" not in console
    assert "VITRINE ready" not in console
    assert vitrine("verify", vm.origin, *vm.pins).status == 3
    figures("one setting changed", "powered off, nothing answered")


@pytest.mark.slow
def test_the_same_checkout_with_the_setting_as_it_should_be_serves(deployment):
    """The control: that an image of this checkout serves is what every other test begins with."""
    settings = (CHECKOUT / SETTINGS).read_text()
    assert re.search(f"^{re.escape(KEPT)}$", settings, re.MULTILINE)
    assert deployment.first.status == 0
