"""Every check of the lock-down: one tampering that breaks it alone, over a system that passes."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace

import pytest

from serving.errors import SelfCheckError
from serving.selfcheck.__main__ import main
from serving.selfcheck.checks import NAMES, run
from serving.selfcheck.devicemapper import decode_table, read_table
from serving.selfcheck.facts import Facts, parse_mounts
from serving.selfcheck.host import CLOSED_SLOTS
from serving.selfcheck.kernel import NAMING, SYSCTLS, WORDS
from serving.selfcheck.processes import OWN, Process, read_processes
from serving.selfcheck.verdict import read_passed, write_passed

HASH, SALT = "ab" * 32, "cd" * 32
CMDLINE = (
    f"vitrine.root={HASH}:{SALT}:100 vitrine.model={SALT}:{HASH}:200 systemd.import_credentials=no "
    "lockdown=confidentiality pcie_ports=compat acpiphp.disable=1 panic=-1 quiet\n"
)
MOUNTS = """\
1 1 0:2 / / rw - rootfs rootfs rw
20 1 254:0 / / ro,nosuid,relatime shared:1 - erofs /dev/mapper/vitrine-root ro,user_xattr
21 20 0:20 / /run rw,nosuid,noexec - tmpfs tmpfs rw,mode=755
22 20 254:1 / /usr/share/vitrine/model ro,nosuid - erofs /dev/mapper/vitrine-model ro
23 20 0:21 / /proc rw,nosuid,nodev,noexec - proc proc rw
24 20 0:22 / /sys rw,nosuid,nodev,noexec - sysfs sysfs rw
25 20 0:20 /machine-id /etc/machine-id ro,relatime - tmpfs tmpfs rw,mode=755
"""
TABLES = {
    "254:0": f"verity 1 253:2 253:3 4096 4096 100 0 sha256 {HASH} {SALT} 2 panic_on_corruption panic_on_error",
    "254:1": f"verity 1 253:17 253:18 4096 4096 200 0 sha256 {SALT} {HASH} 2 panic_on_corruption panic_on_error",
}
TCP = "  sl  local_address rem_address   st tx_queue\n"
SOCKET = "   0: 0100007F:20FB 00000000:0000 {} 00000000:00000000\n"
NOW = 2_000_000_000
USERS = "user:[4026531837]"
EXECUTOR, PYTHON = "/usr/lib/systemd/systemd-executor", "/usr/bin/python3.13"
PROCESSES = (
    Process(1, "/usr/lib/systemd/systemd", in_root=True, capabilities=(1 << 41) - 1, users=USERS),
    Process(60, "/usr/lib/systemd/systemd-networkd", in_root=True, capabilities=1 << 12 | 1 << 13, users=USERS),
    Process(70, PYTHON, in_root=True, capabilities=0, users=USERS),
    Process(80, PYTHON, in_root=True, capabilities=OWN, users=USERS),
    Process(90, EXECUTOR, in_root=True, capabilities=(1 << 41) - 1, users=USERS),
)
FORBIDDEN = "# What the host offers.\nblacklist qemu_fw_cfg\ninstall qemu_fw_cfg /bin/false\nblacklist virtio_rng\n"


def chain(family, hook, policy="drop"):
    return {"chain": {"family": family, "table": "vitrine", "name": hook, "hook": hook, "policy": policy}}


def ruleset():
    tables = [{"table": {"family": family, "name": "vitrine"}} for family in ("inet", "netdev")]
    chains = [chain("inet", hook) for hook in ("prerouting", "input", "forward", "output")]
    chains += [chain("netdev", hook) for hook in ("ingress", "egress")]
    return [{"metainfo": {"json_schema_version": 1}}, *tables, *chains, {"rule": {"family": "inet"}}]


def as_bytes(items):
    return json.dumps({"nftables": items}).encode()


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def tell(root, cmdline):
    """A command line, and an image that was made for it."""
    write(root, "proc/cmdline", cmdline)
    write(root, WORDS, "\n".join(word for word in cmdline.split() if not word.startswith(NAMING)))


def stand(root):
    """What the kernel shows of devices, disks and network cards."""
    for name, target in (("stdin", "/proc/self/fd/0"), ("core", "/proc/kcore")):
        (root / "dev").mkdir(exist_ok=True)
        (root / "dev" / name).symlink_to(target)
    for name in ("null", "tpmrm0", "mapper/control", "dma_heap/system", "cpu/0/msr", "pts/0"):
        write(root, f"dev/{name}", "")
    for number, name in enumerate(("vitrine-root", "vitrine-model")):
        write(root, f"sys/class/block/dm-{number}/dm/name", f"{name}\n")
    for name in ("vda", "vda1", "nvme0n1p2", "sdb"):
        (root / "sys/class/block" / name).mkdir()
    for name, flags in (("lo", "0x9"), ("eth0", "0x1003"), ("eth1", "0x1002")):
        write(root, f"sys/class/net/{name}/flags", f"{flags}\n")
    write(root, "sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", "")
    write(root, "sys/module/virtio_net/version", "")
    write(root, "sys/devices/virtual/misc/hw_random/rng_current", "none\n")
    write(root, "etc/modprobe.d/50-no-host-input.conf", FORBIDDEN)


@pytest.fixture
def facts(tmp_path):
    tell(tmp_path, CMDLINE)
    stand(tmp_path)
    for name in ("kexec_loaded", "kexec_crash_loaded"):
        write(tmp_path, f"sys/kernel/{name}", "0\n")
    write(tmp_path, "sys/power/disk", "[disabled]\n")
    write(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n")
    write(tmp_path, "proc/net/tcp", TCP + SOCKET.format("01"))
    write(tmp_path, "sys/kernel/security/lockdown", "none integrity [confidentiality]\n")
    write(tmp_path, "sys/module/module/parameters/sig_enforce", "Y\n")
    for bus in ("pci", "virtio"):
        write(tmp_path, f"sys/bus/{bus}/drivers_autoprobe", "0\n")
    write(tmp_path, "usr/lib/clock-epoch", "")
    os.utime(tmp_path / "usr/lib/clock-epoch", (NOW - 5, NOW - 5))
    for name, value in SYSCTLS.items():
        write(tmp_path, f"proc/sys/{name}", value + "\n")
    for scope in ("all", "default"):
        write(tmp_path, f"proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "1\n")
    return Facts(tmp_path, parse_mounts(MOUNTS), TABLES, as_bytes(ruleset()), float(NOW), PROCESSES, 80)


def failed(facts):
    with pytest.raises(SelfCheckError) as caught:
        run(facts)
    return [name for name, _ in caught.value.failures]


def test_a_locked_down_system_passes_every_check(facts):
    assert run(facts) == NAMES


FILES = {
    "root hash of another image": ("root-verity", "proc/cmdline", CMDLINE.replace("root=ab", "root=00")),
    "another salt": ("root-verity", "proc/cmdline", CMDLINE.replace(f":{SALT}:100", f":{HASH}:100")),
    "fewer blocks are verified": ("root-verity", "proc/cmdline", CMDLINE.replace(":100", ":99")),
    "root named twice": ("root-verity", "proc/cmdline", f"vitrine.root={SALT}:{HASH}:1 {CMDLINE}"),
    "root not named": ("root-verity", "proc/cmdline", CMDLINE.replace(f"vitrine.root={HASH}:{SALT}:100 ", "")),
    "root hash without salt": ("root-verity", "proc/cmdline", CMDLINE.replace(f"{HASH}:{SALT}:100", HASH)),
    "model hash of another model": ("model-verity", "proc/cmdline", CMDLINE.replace("model=cd", "model=00")),
    "credentials switched on": ("command-line", "proc/cmdline", CMDLINE.replace("credentials=no", "credentials=yes")),
    "credentials switched on later": ("command-line", "proc/cmdline", CMDLINE + " systemd.import_credentials=yes"),
    "lockdown weaker on the command line": ("command-line", "proc/cmdline", CMDLINE + " lockdown=none"),
    "a word that nobody baked": ("command-line", "proc/cmdline", CMDLINE + " init=/bin/sh"),
    "a word less than was baked": ("command-line", "proc/cmdline", CMDLINE.replace("panic=-1 ", "")),
    "a word twice": ("command-line", "proc/cmdline", CMDLINE + " quiet"),
    "another image's words": ("command-line", WORDS, "quiet\n"),
    "a kernel that waits": ("kexec", "sys/kernel/kexec_loaded", "1\n"),
    "a kernel for crashes": ("kexec", "sys/kernel/kexec_crash_loaded", "1\n"),
    "hibernation": ("kexec", "sys/power/disk", "[platform] shutdown reboot\n"),
    "a channel of the host's": ("devices", "dev/vport0p1", ""),
    "a device in a folder": ("devices", "dev/dri/card0", ""),
    "a GPU's node where no GPU is due": ("devices", "dev/nvidiactl", ""),
    "a disk of nobody's driver": ("disks", "sys/class/block/loop0/size", "0\n"),
    "a third device of the mapper": ("disks", "sys/class/block/dm-2/dm/name", "vitrine-root\n"),
    "another name in the mapper": ("disks", "sys/class/block/dm-1/dm/name", "swap\n"),
    "a second network card": ("interfaces", "sys/class/net/eth1/flags", "0x1003\n"),
    "a tunnel": ("interfaces", "sys/class/net/tun0/flags", "0x1091\n"),
    "a forbidden module": ("host-channels", "sys/module/qemu_fw_cfg/version", ""),
    "an image that forbids no module": ("host-channels", "etc/modprobe.d/50-no-host-input.conf", "# none\n"),
    "an EFI variable for systemd": (
        "host-channels",
        "sys/firmware/efi/efivars/SystemdOptions-8cf2644b-4b0b-428f-9387-6d876050dc67",
        "",
    ),
    "entropy of the host's": (
        "host-channels",
        "sys/devices/virtual/misc/hw_random/rng_current",
        "virtio_rng.0\n",
    ),
    "lockdown integrity": ("lockdown", "sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
    "lockdown off": ("lockdown", "sys/kernel/security/lockdown", "[none] integrity confidentiality\n"),
    "unsigned modules": ("module-signatures", "sys/module/module/parameters/sig_enforce", "N\n"),
    "a GPU driver where no GPU is due": ("gpus", "sys/module/nvidia/version", "550"),
    "a GPU that nobody named": ("gpus", "sys/bus/pci/drivers/nvidia/0000:00:06.0/class", "0x030200"),
    "a driver for what is plugged in": ("hot-plug", "sys/bus/pci/drivers_autoprobe", "1\n"),
    "a driver on a bus behind a bus": ("hot-plug", "sys/bus/virtio/drivers_autoprobe", "1\n"),
    "a credential": ("credentials", "run/credentials/@system/tmpfiles.extra", "f+ /run/pwned"),
    "an encrypted credential": ("credentials", "run/credentials/@encrypted/x", ""),
    "a listener": ("listeners", "proc/net/tcp", TCP + SOCKET.format("0A")),
    "IPv6": ("listeners", "proc/sys/net/ipv6/conf/all/disable_ipv6", "0\n"),
    "IPv6 for new interfaces": ("listeners", "proc/sys/net/ipv6/conf/default/disable_ipv6", "0\n"),
    "swap": ("swap", "proc/swaps", "Filename Type\n/dev/vda9 partition\n"),
    "an empty swap table": ("swap", "proc/swaps", ""),
    "a journal": ("logs", "run/log/journal/x", ""),
    "a journal that stays": ("logs", "var/log/journal/x", ""),
    "a log daemon": ("logs", "run/systemd/journal/stdout", ""),
} | {f"sysctl {name}": ("sysctl", f"proc/sys/{name}", "x\n") for name in SYSCTLS}


@pytest.mark.parametrize("fault", FILES)
def test_one_changed_file_fails_one_check(facts, fault):
    check, path, text = FILES[fault]
    write(facts.root, path, text)
    assert failed(facts) == [check]


@pytest.mark.parametrize(
    ("check", "path"),
    [
        ("lockdown", "sys/kernel/security/lockdown"),
        ("module-signatures", "sys/module/module/parameters/sig_enforce"),
        ("listeners", "proc/net/tcp"),
        ("swap", "proc/swaps"),
        ("sysctl", "proc/sys/kernel/sysrq"),
        ("command-line", WORDS),
        ("kexec", "sys/kernel/kexec_loaded"),
        ("kexec", "sys/power/disk"),
        ("interfaces", "sys/class/net/eth1/flags"),
        ("disks", "sys/class/block/dm-0/dm/name"),
        ("host-channels", "etc/modprobe.d/50-no-host-input.conf"),
        ("clock", "usr/lib/clock-epoch"),
    ],
)
def test_a_fact_that_cannot_be_read_fails_its_check(facts, check, path):
    (facts.root / path).unlink()
    assert failed(facts) == [check]


MOUNT_FAULTS = {
    # By one of its two words: so it cannot be written to, and is still not what it should be.
    "writable root": ("root-verity", "/ / ro,nosuid,relatime", "/ / rw,nosuid,relatime"),
    "writable model": ("model-verity", "model ro,nosuid -", "model rw,nosuid -"),
    "root not on verity": ("root-verity", "254:0 / /", "253:2 / /"),
    "something new": (
        "mounts",
        "/proc rw,nosuid,nodev,noexec - proc proc",
        "/mnt rw,nosuid,nodev,noexec - ext4 /dev/vdb",
    ),
    "a known place, another file system": ("mounts", "tmpfs tmpfs rw,mode=755", "overlay overlay rw,mode=755"),
    "what is written can be run": ("mounts", "/run rw,nosuid,noexec", "/run rw,nosuid"),
    "a machine's id that can be written": ("mounts", "/etc/machine-id ro,", "/etc/machine-id rw,"),
    "a file of another file system": ("mounts", "/etc/machine-id ro,relatime - tmpfs", "/etc/machine-id ro - ext4"),
    "set-user-id bits count": ("mounts", "/ / ro,nosuid,relatime", "/ / ro,relatime"),
    "root not on the device mapper": ("root-verity", "254:0 / /", "253:2 / /"),
    "model's device under the root": ("root-verity", "254:0 / /", "254:1 / /"),
}


@pytest.mark.parametrize("fault", MOUNT_FAULTS)
def test_one_changed_mount_fails_one_check(facts, fault):
    check, old, new = MOUNT_FAULTS[fault]
    assert old in MOUNTS
    assert failed(replace(facts, mounts=parse_mounts(MOUNTS.replace(old, new)))) == [check]


# What breaks the list of mounts besides.
BOTH_FAULTS = {
    "root on another file system": ("root-verity", "erofs /dev/mapper/vitrine-root", "ext4 /dev/mapper/vitrine-root"),
    "no model": ("model-verity", "/usr/share/vitrine/model", "/mnt"),
}


@pytest.mark.parametrize("fault", BOTH_FAULTS)
def test_a_file_system_that_is_not_verified_fails_both_checks_of_it(facts, fault):
    check, old, new = BOTH_FAULTS[fault]
    assert old in MOUNTS
    assert failed(replace(facts, mounts=parse_mounts(MOUNTS.replace(old, new)))) == [check, "mounts"]


def test_something_mounted_over_the_root_is_what_counts(facts):
    over = MOUNTS + "30 20 0:30 / / rw - overlay overlay rw,upperdir=/run/x\n"
    assert failed(replace(facts, mounts=parse_mounts(over))) == ["root-verity", "mounts"]


TABLE_FAULTS = {
    "linear": "linear 253:2 0",
    "survives corruption": f"verity 1 253:2 253:3 4096 4096 100 0 sha256 {HASH} {SALT}",
    "restarts on corruption": f"verity 1 253:2 253:3 4096 4096 100 0 sha256 {HASH} {SALT} 1 restart_on_corruption",
    "weaker hash": f"verity 1 253:2 253:3 4096 4096 100 0 sha1 {HASH} {SALT} 2 panic_on_corruption panic_on_error",
    "survives a disk that fails": f"verity 1 253:2 253:3 4096 4096 100 0 sha256 {HASH} {SALT} 1 panic_on_corruption",
    "other tree": f"verity 1 253:2 253:3 4096 4096 100 8 sha256 {HASH} {SALT} 2 panic_on_corruption panic_on_error",
    "nothing": "",
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_another_device_mapper_table_fails_the_root(facts, fault):
    assert failed(replace(facts, tables={**TABLES, "254:0": TABLE_FAULTS[fault]})) == ["root-verity"]


def without(items, family, hook):
    return [item for item in items if item != chain(family, hook)]


RULESETS = {
    "no rules": as_bytes([]),
    "not JSON": b"table inet x {}",
    "no output chain": as_bytes(without(ruleset(), "inet", "output")),
    "no egress hook": as_bytes(without(ruleset(), "netdev", "egress")),
    "output accepts": as_bytes([*without(ruleset(), "inet", "output"), chain("inet", "output", "accept")]),
    "policy missing": as_bytes([*without(ruleset(), "inet", "input"), chain("inet", "input", None)]),
    "another table": as_bytes([*ruleset(), {"table": {"family": "ip", "name": "nat"}}]),
    "another hook": as_bytes([*ruleset(), chain("inet", "postrouting")]),
    "packets are led elsewhere by default": as_bytes(
        [*without(ruleset(), "inet", "prerouting"), chain("inet", "prerouting", "accept")]
    ),
}


@pytest.mark.parametrize("fault", RULESETS)
def test_another_ruleset_fails_the_firewall(facts, fault):
    assert failed(replace(facts, ruleset=RULESETS[fault])) == ["firewall"]


def test_a_clock_before_the_image_fails(facts):
    assert failed(replace(facts, now=float(NOW - 6))) == ["clock"]


@pytest.mark.parametrize("word", CLOSED_SLOTS)
def test_an_image_that_leaves_slots_open_fails(facts, word):
    tell(facts.root, CMDLINE.replace(word, ""))
    assert failed(facts) == ["hot-plug"]


def test_a_system_whose_buses_are_hidden_fails(facts):
    for bus in ("pci", "virtio"):
        (facts.root / f"sys/bus/{bus}/drivers_autoprobe").unlink()
    assert failed(facts) == ["hot-plug"]


def test_all_failures_are_reported_at_once(facts):
    write(facts.root, "proc/swaps", "")
    write(facts.root, "proc/sys/kernel/sysrq", "1")
    assert failed(facts) == ["swap", "sysctl"]


def test_a_verdict_is_read_back_and_an_edited_one_is_not(tmp_path):
    write_passed(tmp_path, NAMES, b"log", b"ccel")
    read_passed(tmp_path)
    write_passed(tmp_path, NAMES[1:], b"log", b"ccel")
    with pytest.raises(SelfCheckError, match="does not name every check"):
        read_passed(tmp_path)


def test_on_an_ordinary_machine_the_process_fails_and_leaves_no_verdict(tmp_path, capsys):
    assert main(["--output", str(tmp_path)]) == 1
    assert "self-check" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def table_answer(*, targets=1, start=312, kind=b"verity", parameters=b"1 253:2"):
    head = struct.pack("=IIIIIIiIIIQ128s129s7s", 4, 48, 0, 16384, start, targets, 0, 0, 0, 0, 0, b"", b"", b"")
    return (head + struct.pack("=QQiI16s", 0, 8, 0, 0, kind) + parameters + b"\0").ljust(16384, b"\0")


def test_the_kernels_answer_is_decoded():
    assert decode_table(table_answer()) == "verity 1 253:2"


@pytest.mark.parametrize("answer", [{"targets": 0}, {"targets": 2}, {"start": 0}, {"start": 16384}, {"start": 2**31}])
def test_an_answer_that_contradicts_itself_is_refused(answer):
    with pytest.raises(SelfCheckError, match="target"):
        decode_table(table_answer(**answer))


def test_a_device_that_is_none_of_the_device_mappers_is_refused(tmp_path):
    with pytest.raises(SelfCheckError, match="0:99 is not the device mapper's"):
        read_table(tmp_path / "control", "0:99")


WITH_GPUS = CMDLINE.replace("lockdown=confidentiality", "vitrine.gpus=2")
SYS = "24 20 0:22 / /sys ro,nosuid,nodev,noexec - sysfs sysfs rw\n"
SLOTS = "0000:00:06.0", "0001:00:00.0"


def plug(root, slot, *, bound=True, vendor="0x10de", kind="0x030200"):
    write(root, f"sys/bus/pci/devices/{slot}/vendor", f"{vendor}\n")
    write(root, f"sys/bus/pci/devices/{slot}/class", f"{kind}\n")
    if bound:
        write(root, f"sys/bus/pci/drivers/nvidia/{slot}/driver", "")


@pytest.fixture
def gpu_facts(facts):
    """A system for two GPUs that passes; the driver's folder has files of its own beside the devices."""
    tell(facts.root, WITH_GPUS)
    write(facts.root, "dev/nvidiactl", "")
    write(facts.root, "dev/nvidia-uvm", "")
    write(facts.root, "sys/bus/pci/drivers/nvidia/new_id", "")
    write(facts.root, "sys/module/nvidia/version", "550.163.01\n")
    for slot in SLOTS:
        plug(facts.root, slot)
    plug(facts.root, "0000:00:03.0", bound=False, vendor="0x1af4", kind="0x020000")
    return replace(facts, mounts=parse_mounts(MOUNTS + SYS))


def test_a_system_with_its_gpus_passes_every_check(gpu_facts):
    assert run(gpu_facts) == NAMES


GPU_FILES = {
    "one GPU too few": ("gpus", "proc/cmdline", WITH_GPUS.replace("gpus=2", "gpus=3")),
    "one GPU too many": ("gpus", "proc/cmdline", WITH_GPUS.replace("gpus=2", "gpus=1")),
    "a device that is plugged in gets a driver": ("hot-plug", "sys/bus/pci/drivers_autoprobe", "1\n"),
    "lockdown named as well": ("command-line", "proc/cmdline", WITH_GPUS + " lockdown=integrity"),
    "a kernel that the initrd did not lock": ("lockdown", "sys/kernel/security/lockdown", "[none] integrity\n"),
    "modules without a signature": ("module-signatures", "sys/module/module/parameters/sig_enforce", "N\n"),
    "credentials switched on": ("command-line", "proc/cmdline", WITH_GPUS.replace("credentials=no", "credentials=yes")),
}


@pytest.mark.parametrize("fault", GPU_FILES)
def test_with_gpus_one_changed_file_fails_one_check(gpu_facts, fault):
    check, path, text = GPU_FILES[fault]
    write(gpu_facts.root, path, text)
    if path == "proc/cmdline":
        tell(gpu_facts.root, text)
    assert failed(gpu_facts) == [check]


@pytest.mark.parametrize("count", ["x", "2 vitrine.gpus=2", "-1"])
def test_a_number_of_gpus_that_is_none(gpu_facts, count):
    write(gpu_facts.root, "proc/cmdline", WITH_GPUS.replace("gpus=2", f"gpus={count}"))
    assert "gpus" in failed(gpu_facts)


@pytest.mark.parametrize("kind", ["0x030000", "0x030200"])
def test_a_gpu_without_the_driver(gpu_facts, kind):
    plug(gpu_facts.root, "0000:00:07.0", bound=False, kind=kind)
    assert failed(gpu_facts) == ["gpus"]


@pytest.mark.parametrize("mount", ["", SYS.replace(" ro,", " rw,")])
def test_a_bus_that_can_be_searched_again(gpu_facts, mount):
    assert failed(replace(gpu_facts, mounts=parse_mounts(MOUNTS + mount))) == ["gpus"]


def test_lockdown_cannot_be_left_to_the_initrd_without_gpus(facts):
    write(facts.root, "proc/cmdline", CMDLINE.replace("lockdown=confidentiality", ""))
    assert failed(facts) == ["command-line"]
    write(facts.root, "proc/cmdline", CMDLINE.replace("lockdown=confidentiality", "vitrine.gpus=0"))
    assert failed(facts) == ["command-line"]


def swapped(pid, **values):
    """The processes, one of them changed."""
    return tuple(replace(process, **values) if process.pid == pid else process for process in PROCESSES)


NEW = Process(99, "/usr/bin/sh", in_root=True, capabilities=0, users=USERS)
PROCESS_FAULTS = {
    "a shell": ("programs", (*PROCESSES, NEW)),
    "a program that was written": ("programs", swapped(70, in_root=False)),
    "a program that was deleted": ("programs", swapped(70, program=f"{PYTHON} (deleted)")),
    "a service with a right": ("rights", swapped(70, capabilities=1 << 13)),
    "the network's service with one more": ("rights", swapped(60, capabilities=1 << 21)),
    "users of its own": ("rights", swapped(70, users="user:[4026532000]")),
}


@pytest.mark.parametrize("fault", PROCESS_FAULTS)
def test_one_process_fails_one_check(facts, fault):
    check, processes = PROCESS_FAULTS[fault]
    assert failed(replace(facts, processes=processes)) == [check]


@pytest.mark.parametrize("seen", [(), PROCESSES[3:4], PROCESSES[:3]], ids=["nobody", "itself alone", "all but itself"])
def test_processes_that_are_hidden_pass_no_check(facts, seen):
    assert failed(replace(facts, processes=seen)) == ["programs", "rights"]


def test_a_program_with_more_rights_than_itself_is_not_excused_by_its_name(facts):
    """Python is what every service runs on: only the self-check's own process may have rights."""
    assert failed(replace(facts, own=70, processes=swapped(80, capabilities=OWN))) == ["rights"]


def folder_of(root, pid, *, program, rights="0000000000000000"):
    folder = root / str(pid)
    (folder / "ns").mkdir(parents=True)
    if program is not None:
        (folder / "exe").symlink_to(program)
    (folder / "ns/user").symlink_to(USERS)
    (folder / "status").write_text(f"Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t{rights}\n")


def test_processes_are_read_and_kernel_threads_are_not(tmp_path):
    inside = tmp_path / "program"
    inside.write_text("")
    folder_of(tmp_path / "proc", 1, program=inside, rights="000001ffffffffff")
    folder_of(tmp_path / "proc", 2, program=None)
    folder_of(tmp_path / "proc", 30, program="/proc/self/status")
    (tmp_path / "proc/self").symlink_to("1")
    first, other = read_processes(tmp_path / "proc", tmp_path.stat().st_dev)
    assert first == Process(1, str(inside), in_root=True, capabilities=(1 << 41) - 1, users=USERS)
    assert (other.pid, other.in_root) == (30, False)


def test_a_process_that_cannot_be_looked_at_is_no_process_that_has_ended(tmp_path):
    folder_of(tmp_path, 1, program="/proc/self/status")
    (tmp_path / "30").write_text("")
    with pytest.raises(NotADirectoryError):
        read_processes(tmp_path, 0)
