"""The initrd's init: its shell accepts it, and it uses nothing that the initrd does not carry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from provisioner.image import initrd
from provisioner.image.driver import ORDER
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
        "2 panic_on_corruption panic_on_error",
        "[ ! /booted -nt /root/usr/lib/clock-epoch ] && refuse",
        "mount -t efivarfs -o ro,",
        "noexec,mode=755,size=20% tmpfs /run",
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


def test_a_kernel_for_gpus_is_locked_before_anything_of_the_root_runs():
    """In this order: the driver, the lock, a look at it, and only then the root."""
    steps = [
        'insmod "/root/usr/lib/vitrine/driver/$module" $options || refuse',
        "mount -o remount,rw /sys/kernel/security || refuse",
        "echo confidentiality >$lockdown || refuse",
        "echo 1 >$enforce || refuse",
        "mount -o remount,ro,nosuid,nodev,noexec /sys/kernel/security || refuse",
        "grep -q '\\[confidentiality\\]' $lockdown && grep -qx Y $enforce || refuse",
        "exec switch_root /root /sbin/init",
    ]
    places = [SCRIPT.index(step) for step in steps]
    assert places == sorted(places)
    assert SCRIPT.index('mount -t erofs -o ro,nosuid "$(opened root)" /root') < places[0]


@pytest.mark.parametrize(
    ("driver", "locks", "ends"),
    [
        (True, True, "locked"),
        (False, True, "VITRINE-REFUSED no GPU driver (nvidia.ko)"),
        (True, False, "VITRINE-REFUSED the kernel is not locked"),
    ],
    ids=["the control", "no GPU", "a kernel that stays open"],
)
def test_the_initrd_of_a_gpu_image_ends_where_the_driver_or_the_lock_does_not_come(tmp_path, driver, locks, ends):
    """The very lines, over a folder in place of the system; insmod and mount say what they were asked."""
    lines = SCRIPT[SCRIPT.index('if [ -n "$gpus" ]; then') : SCRIPT.index("for folder in proc sys dev run")]
    for path in ("sys/kernel/security/lockdown", "sys/module/module/parameters/sig_enforce"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")
    order = tmp_path / "root/usr/lib/vitrine/driver/order"
    order.parent.mkdir(parents=True)
    order.write_text(ORDER)
    shown = "[confidentiality]" if locks else "[none] confidentiality"
    script = f"""
    gpus=1
    refuse() {{ echo "VITRINE-REFUSED $1"; exit 1; }}
    insmod() {{ echo "insmod $*"; {"true" if driver else "false"}; }}
    mount() {{ case $2 in remount,ro,*) echo "{shown}" >{tmp_path}/sys/kernel/security/lockdown
      echo Y >{tmp_path}/sys/module/module/parameters/sig_enforce ;; esac; }}
    {lines.replace("/sys/", f"{tmp_path}/sys/").replace("/root/", f"{tmp_path}/root/")}
    echo locked
    """
    done = subprocess.run(["sh", "-u"], input=script, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert said[0] == f"insmod {tmp_path}/root/usr/lib/vitrine/driver/nvidia.ko NVreg_ModifyDeviceFiles=0"
    assert said[-1] == ends


def test_the_entry_for_tee_reports_has_one_name_everywhere():
    """A typo in one place would leave every TEE machine without a report, which no test without a TEE would see."""
    entry = re.search(r'^ENTRY = "(.+)"$', (REPOSITORY / "serving/attest/tee.py").read_text(), re.MULTILINE)[1]
    units = REPOSITORY / "roles/attester/files/tree/usr/lib/systemd/system"
    needs = units / "vitrine-attester.service.d/20-needs.conf"
    rights = (REPOSITORY / "roles/base/files/tree/usr/lib/tmpfiles.d/vitrine.conf").read_text()
    assert f"mkdir /{entry} || refuse" in SCRIPT
    assert f" -/{entry}\n" in needs.read_text()
    assert f"z /{entry}/inblob 0220 root vitrine-attester -\n" in rights


@pytest.mark.parametrize(
    ("wanted", "comes", "ends"),
    [
        ("eth0", 0, "there"),
        ("eth0", 7, "there"),
        ("eth0", None, "VITRINE-REFUSED no network interface eth0"),
        ("eth1", 0, "VITRINE-REFUSED no network interface eth1"),
        ("", 0, "VITRINE-REFUSED no network interface "),
    ],
    ids=["the control", "a slow driver", "no card", "another card", "a root that names none"],
)
def test_the_initrd_waits_for_the_interface_of_the_firewall(tmp_path, wanted, comes, ends):
    """The very lines; the card appears after so many waits, which take no time here."""
    lines = SCRIPT[SCRIPT.index("interface=$(cat") : SCRIPT.index("# The GPUs' driver has no signature")]
    (tmp_path / "root/usr/lib/vitrine").mkdir(parents=True)
    (tmp_path / "root/usr/lib/vitrine/interface").write_text(f"{wanted}\n")
    (tmp_path / "sys/class/net/lo").mkdir(parents=True)
    if comes == 0:
        (tmp_path / "sys/class/net/eth0").mkdir()
    script = f"""
    refuse() {{ echo "VITRINE-REFUSED $1"; exit 1; }}
    sleep() {{ [ "$tries" = "{comes}" ] && mkdir {tmp_path}/sys/class/net/eth0; :; }}
    {lines.replace("/sys/", f"{tmp_path}/sys/").replace("/root/", f"{tmp_path}/root/")}
    echo there
    """
    done = subprocess.run(["sh", "-u"], input=script, capture_output=True, text=True, check=False)
    assert done.stdout == f"{ends}\n"
