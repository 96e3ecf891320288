"""The initrd's init: its shell accepts it, and it uses nothing that the initrd does not carry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from provisioner.image import initrd
from provisioner.image.packages import data_file

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = data_file("init.sh").decode()
# What somebody might reach for in a shell script; the initrd carries only what init uses today.
_WORDS = """
awk basename blkid cat chmod chroot cp cut dd dirname find grep head insmod ln ls mdev mkdir mknod modprobe mount mv od
poweroff printf readlink reboot rm sed sh sleep sort switch_root tail tr udevadm umount veritysetup wc
"""
COMMON = set(_WORDS.split())


def test_the_shell_accepts_it():
    subprocess.run(["sh", "-n"], input=SCRIPT.encode(), check=True)


def test_every_program_that_it_calls_is_carried_and_nothing_more():
    code = "\n".join(line.partition("# ")[0] for line in SCRIPT.splitlines()[1:])
    words = set(re.findall(r"(?<![/\w\"])[a-z_]+(?![\w\"])", re.sub(r'refuse "[^"]*"', "", code)))
    assert words & COMMON | {"sh"} == set(initrd._APPLETS)


@pytest.mark.parametrize(
    "property_",
    [
        '[ "$(cat /proc/cmdline)" = "$(cat /cmdline)" ] || refuse',
        "8cf2644b-4b0b-428f-9387-6d876050dc67",
        "panic_on_corruption",
        "mount -t efivarfs -o ro,",
        "mode=755,size=20% tmpfs /run",
        "mkdir /sys/kernel/config/tsm/report/vitrine || refuse",
        '[ "$extra" = os-release ] || refuse',
    ],
)
def test_the_refusals_stand_in_it(property_):
    assert property_ in SCRIPT


def test_no_mount_goes_unchecked():
    mounts = [line for line in SCRIPT.replace("\\\n", "").splitlines() if line.lstrip().startswith("mount ")]
    assert len(mounts) >= 8
    assert all("|| refuse" in line for line in mounts)


def test_the_entry_for_tee_reports_has_one_name_everywhere():
    """A typo in one place would leave every TEE machine without a report, which no test without a TEE would see."""
    entry = re.search(r'^ENTRY = "(.+)"$', (REPOSITORY / "serving/attest/tee.py").read_text(), re.MULTILINE)[1]
    attester = REPOSITORY / "roles/attester/files/tree/usr/lib/systemd/system/vitrine-attester.service"
    rights = (REPOSITORY / "roles/base/files/tree/usr/lib/tmpfiles.d/vitrine.conf").read_text()
    assert f"mkdir /{entry} || refuse" in SCRIPT
    assert f" -/{entry}\n" in attester.read_text()
    assert f"z /{entry}/inblob 0220 root vitrine-attester -\n" in rights
