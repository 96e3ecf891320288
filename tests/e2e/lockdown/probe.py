"""A guest that shuts nothing out: the image's own kernel, and an init that says on the console what the host gave it.

It is the positive control of the tests here. What it reports has really reached a guest of this machine, so an image
on which it has no effect did not merely never see it.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from provisioner.image import cpio
from provisioner.image.esp import BOOT_PATH
from provisioner.image.modules import _read, load_order, parse_dependencies
from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree
from provisioner.image.uki import Parts, make_uki
from provisioner.image.workshop import Workshop
from tests.e2e import disks
from tests.e2e.machine import CACHE, Machine

READY = "PROBE ready"
SECONDS = 300
CMDLINE = "console=ttyS0 loglevel=8 sysrq_always_enabled panic=-1 net.ifnames=0"
MODULES = (
    *("efivarfs", "virtio_blk", "virtio_net", "nvme", "qemu_fw_cfg"),
    *("virtio_rng", "virtio_balloon", "virtio_input", "button"),
)
APPLETS = ("cat", "find", "grep", "insmod", "ls", "mount", "sh", "sleep", "strings", "date")
FOLDERS = ("bin", "dev", "modules", "proc", "sys")
# One line for each thing; the loop at its end shows what is typed, and dies when it is told to.
INIT = r"""#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
while read -r module; do insmod "/modules/$module"; done </modules/order
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
echo "PROBE cmdline $(cat /proc/cmdline)"
echo "PROBE clock $(date -u +%Y)"
find /.extra -type f 2>/dev/null | while read -r name; do echo "PROBE extra $name"; done
cat /sys/firmware/dmi/entries/11-*/raw | strings | while read -r text; do echo "PROBE smbios $text"; done
for name in product_serial product_uuid; do echo "PROBE dmi $name $(cat /sys/class/dmi/id/$name)"; done
cd /sys/firmware/qemu_fw_cfg/by_name
find -L opt -name raw | while read -r name; do echo "PROBE fw_cfg ${name%/raw} $(cat $name)"; done
ls /sys/firmware/efi/efivars | while read -r name; do echo "PROBE variable $name"; done
for path in /sys/class/block/*/uevent; do
  path=${path%/uevent}
  echo "PROBE disk ${path##*/} $(grep PARTNAME $path/uevent)"
done
for path in /sys/bus/pci/devices/*; do echo "PROBE pci $(cat $path/vendor):$(cat $path/device) ${path##*/}"; done
cd /sys/bus/virtio/drivers
for path in */virtio*; do [ -d "$path" ] && echo "PROBE driver $path"; done
echo "PROBE entropy $(cat /sys/class/misc/hw_random/rng_available)"
echo "PROBE ready"
while read -r line; do
  echo "PROBE typed $line"
  [ "$line" = button ] && echo "PROBE button $(cat /sys/firmware/acpi/interrupts/ff_pwr_btn)"
  [ "$line" = crash ] && echo c >/proc/sysrq-trigger
done
sleep 1000
"""


def make_probe(image: Path, folder: Path) -> Path:
    """Make disks that boot the probe: those of an image, but for the UKI."""
    folder.mkdir()
    for name in ("boot.raw", "model.raw"):
        shutil.copyfile(image / name, folder / name)
    release = json.loads((image / "manifest.json").read_text())["kernel"]
    workshop = Workshop(tools_tree(Sources(CACHE), progress=print).tree, folder, 1, "probe")
    initrd = cpio.write_cpio(_entries(workshop.tools, release))
    parts = Parts(b"ID=probe\n", CMDLINE.encode(), release.encode(), initrd, (image / "linux").read_bytes())
    make_uki(workshop, parts)
    disks.put_on_esp(folder / "boot.raw", folder / "uki.efi", BOOT_PATH)
    return folder


def _entries(tools: Path, release: str) -> list[cpio.Entry]:
    folder = next((CACHE / "base").glob(f"*/tree/usr/lib/modules/{release}"))
    builtin = {Path(line).name.partition(".")[0] for line in (folder / "modules.builtin").read_text().split()}
    needs = parse_dependencies((folder / "modules.dep").read_text())
    modules = [_read(folder / path) for path in load_order(MODULES, needs, builtin)]
    return [
        *(cpio.folder(path) for path in FOLDERS),
        cpio.character_device("dev/console", 5, 1, 0o600),
        cpio.file("init", INIT.encode(), 0o755),
        cpio.file("bin/busybox", (tools / "usr/bin/busybox").read_bytes(), 0o755),
        *(cpio.link(f"bin/{applet}", "busybox") for applet in APPLETS),
        cpio.file("modules/order", "".join(f"{module.filename}\n" for module in modules).encode()),
        *(cpio.file(f"modules/{module.filename}", module.data) for module in modules),
    ]


def said(target: Machine) -> str:
    """Return all that the console of a VM has shown; the machine's own reader keeps the end alone."""
    return (target.root / "vms" / target.name / "console.log").read_text(errors="replace")


def wait_for(target: Machine, words: str, seconds: float = SECONDS) -> str:
    """Wait until the console has shown some words; return all that it has shown."""
    deadline = time.monotonic() + seconds
    while words not in (text := said(target)):
        if time.monotonic() > deadline:
            pytest.fail(f"the console does not say {words!r} within {seconds} s: {text[-500:]}")
        time.sleep(0.2)
    return text


def wait_for_end(target: Machine, seconds: float = SECONDS) -> None:
    """Wait until the VM is gone: one that restarts ends, and may take its last words with it."""
    deadline = time.monotonic() + seconds
    while target.vm is not None and target.vm.pid is not None:
        if time.monotonic() > deadline:
            pytest.fail(f"the machine runs on after {seconds} s: {said(target)[-500:]}")
        time.sleep(0.2)
