"""The lock-down, as named checks over gathered facts. Each can fail, and all failures are reported at once.

A pass proves that this boot looked like this to its own kernel; that the checks ran at all, and in this very form,
is proven by the measured image.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from serving.errors import SelfCheckError
from serving.selfcheck.facts import MODEL, Facts

Check = Callable[[Facts], None]

CREDENTIALS, LOCKDOWN = "systemd.import_credentials=no", "lockdown=confidentiality"
# Where there are GPUs, the initrd locks the kernel once their driver is loaded.
REQUIRED_WORDS, REQUIRED_WITH_GPUS = (CREDENTIALS, LOCKDOWN), (CREDENTIALS,)
CLOSED_SLOTS = "pcie_ports=compat", "acpiphp.disable=1"
GPUS = "vitrine.gpus="
NVIDIA, GPU_CLASSES = "0x10de", ("0x0300", "0x0302")
FIREWALL = {("inet", hook) for hook in ("prerouting", "input", "forward", "output")} | {
    ("netdev", hook) for hook in ("ingress", "egress")
}
SYSCTLS = {
    "fs/suid_dumpable": "0",
    "kernel/core_pattern": "|/bin/false",
    "kernel/dmesg_restrict": "1",
    "kernel/io_uring_disabled": "2",
    "kernel/kexec_load_disabled": "1",
    "kernel/modules_disabled": "1",
    "kernel/sysrq": "0",
    "kernel/unprivileged_bpf_disabled": "1",
    "kernel/yama/ptrace_scope": "3",
}
_LISTENING = "0A"
# "verity", version, data device, hash device, two block sizes, data blocks, hash start, algorithm, root hash, salt
_VERITY_FIELDS = 11


class CheckFailed(Exception):  # noqa: N818 - it is no error of ours: run() turns it into one
    """One check does not hold; the message says what was found."""


def run(facts: Facts) -> tuple[str, ...]:
    """Carry out every check; return the names of those that passed, in order.

    Raises:
        SelfCheckError: naming every check that failed, with the reason.
    """
    passed, failures = [], []
    for name, check in CHECKS:
        try:
            check(facts)
            passed.append(name)
        except (CheckFailed, OSError, ValueError, LookupError) as error:  # a fact that cannot be read is a failure
            failures.append((name, str(error) or type(error).__name__))
    if failures:
        raise SelfCheckError(tuple(failures))
    return tuple(passed)


def _expect(holds: object, found: str) -> None:
    if not holds:
        raise CheckFailed(found)


def root_is_verified(facts: Facts) -> None:
    """Require the root to be erofs, read-only, on dm-verity with the measured root hash, panic on corruption."""
    _verified(facts, "/", "vitrine.root=")


def model_is_verified(facts: Facts) -> None:
    """Require the same of the model's file system."""
    _verified(facts, MODEL, "vitrine.model=")


def command_line_is_ours(facts: Facts) -> None:
    """Require credentials off and lockdown on, each named once; with GPUs, no other word about lockdown."""
    words = facts.read("proc/cmdline").split()
    required = REQUIRED_WITH_GPUS if _gpus(facts) else REQUIRED_WORDS
    missing = [word for word in required if word not in words]
    _expect(not missing, f"missing {' '.join(missing)}")
    _expect(required == REQUIRED_WORDS or not [w for w in words if w.startswith("lockdown")], "lockdown is given")
    for key in {word.split("=")[0] for word in required}:
        count = sum(word.split("=")[0] == key for word in words)
        _expect(count == 1, f"{key} is given {count} times")


def kernel_is_locked_down(facts: Facts) -> None:
    """Require a kernel that keeps even root out of its memory."""
    found = facts.read("sys/kernel/security/lockdown").strip()
    _expect("[confidentiality]" in found.split(), f"lockdown is {found}")


def modules_are_signed(facts: Facts) -> None:
    """Require that the kernel loads no module without a signature of its maker's, should it ever load one."""
    found = facts.read("sys/module/module/parameters/sig_enforce").strip()
    _expect(found == "Y", f"sig_enforce is {found}")


def gpus_are_those_that_are_due(facts: Facts) -> None:
    """Require as many GPUs with NVIDIA's driver as the command line names, and a bus that cannot be searched again.

    What they are, and in which mode, is the attester's to ask.
    """
    due, bus = _gpus(facts), facts.root / "sys/bus/pci"
    bound = sorted(path.name for path in (bus / "drivers/nvidia").glob("????:??:??.?"))
    _expect(len(bound) == due, f"{len(bound)} GPUs have the driver, {due} are due")
    if not due:
        _expect(not (facts.root / "sys/module/nvidia").exists(), "a GPU driver is loaded, and no GPU is due")
        return
    there = sorted(path.name for path in (bus / "devices").glob("*") if _is_gpu(facts, path.name))
    _expect(there == bound, f"GPUs are {there}, with the driver {bound}")
    sysfs = next((mount for mount in facts.mounts if mount.point == "/sys"), None)
    _expect(sysfs and "ro" in sysfs.options, "/sys is writable: a device could be bound again, or the bus searched")


def _is_gpu(facts: Facts, device: str) -> bool:
    vendor, kind = (facts.read(f"sys/bus/pci/devices/{device}/{name}").strip() for name in ("vendor", "class"))
    return vendor == NVIDIA and kind.startswith(GPU_CLASSES)


def _gpus(facts: Facts) -> int:
    """Return how many GPUs the measured command line names."""
    found = [word.removeprefix(GPUS) for word in facts.read("proc/cmdline").split() if word.startswith(GPUS)]
    _expect(len(found) <= 1, f"{GPUS} is given {len(found)} times")
    return int(found[0]) if found else 0


def no_device_is_taken_later(facts: Facts) -> None:
    """Require that a device which is plugged in gets no driver, on whichever bus; on PCI that nobody looks at slots."""
    words = facts.read("proc/cmdline").split()
    _expect(not (open_ := [word for word in CLOSED_SLOTS if word not in words]), f"missing {' '.join(open_)}")
    switches = sorted((facts.root / "sys/bus").glob("*/drivers_autoprobe"))
    taking = [path.parent.name for path in switches if path.read_text().strip() != "0"]
    _expect(switches and not taking, f"drivers take new devices of {' '.join(taking) or 'an unknown bus'}")


def no_credentials_from_the_host(facts: Facts) -> None:
    """Require that PID 1 imported no credential."""
    for name in ("@system", "@encrypted", "@initrd"):
        folder = facts.root / "run/credentials" / name
        _expect(not folder.exists() and not folder.is_symlink(), f"/run/credentials/{name} exists")


def firewall_drops_by_default(facts: Facts) -> None:
    """Require that every way of a packet drops what no rule names, packet sockets included; nobody else has tables."""
    items = json.loads(facts.ruleset)["nftables"]
    tables = sorted((item["table"]["family"], item["table"]["name"]) for item in items if "table" in item)
    _expect(tables == [("inet", "vitrine"), ("netdev", "vitrine")], f"tables are {tables}")
    chains = [item["chain"] for item in items if "chain" in item and "hook" in item["chain"]]
    hooks = {(chain["family"], chain["hook"]) for chain in chains}
    _expect(hooks == FIREWALL, f"hooks are {sorted(hooks)}")
    accepting = sorted(chain["name"] for chain in chains if chain.get("policy") != "drop")
    _expect(not accepting, f"chains that accept by default: {accepting}")


def nobody_listens(facts: Facts) -> None:
    """Require that no TCP socket listens before the gateway starts, and that IPv6 is off."""
    lines = facts.read("proc/net/tcp").splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == _LISTENING]
    _expect(not listening, f"listening on {listening}")
    if (facts.root / "proc/sys/net/ipv6").exists():
        for scope in ("all", "default"):
            _expect(facts.read(f"proc/sys/net/ipv6/conf/{scope}/disable_ipv6").strip() == "1", f"IPv6 is on ({scope})")


def nothing_is_swapped(facts: Facts) -> None:
    """Require that no memory can reach a disk."""
    lines = facts.read("proc/swaps").splitlines()
    _expect(len(lines) == 1, f"{len(lines) - 1} swap areas")


def nothing_is_logged(facts: Facts) -> None:
    """Require that no journal is kept and no log daemon listens."""
    for path in ("run/log/journal", "var/log/journal", "run/systemd/journal/stdout", "run/systemd/journal/dev-log"):
        _expect(not (facts.root / path).exists(), f"/{path} exists")


def kernel_settings_hold(facts: Facts) -> None:
    """Require module loading, kexec, core dumps, SysRq, tracing and the kernel's own log to be closed."""
    wrong = [name for name, value in SYSCTLS.items() if facts.read(f"proc/sys/{name}").strip() != value]
    _expect(not wrong, f"other values in {' '.join(wrong)}")


def clock_is_sane(facts: Facts) -> None:
    """Require a clock that does not lie before the image was made."""
    made = (facts.root / "usr/lib/clock-epoch").stat().st_mtime
    _expect(facts.now >= made, "the clock lies before the image")


def _verified(facts: Facts, point: str, key: str) -> None:
    mount = next((mount for mount in facts.mounts if mount.point == point), None)
    _expect(mount, f"nothing is mounted on {point}")
    assert mount is not None  # noqa: S101 - for the type checker; the line above has raised
    _expect(mount.kind == "erofs", f"{point} is {mount.kind}")
    _expect("ro" in mount.options and "rw" not in mount.options, f"{point} is writable")
    words = [word.removeprefix(key) for word in facts.read("proc/cmdline").split() if word.startswith(key)]
    _expect(len(words) == 1, f"{key} is given {len(words)} times")
    root_hash, salt, blocks = words[0].split(":")
    fields = facts.tables[mount.device].split()
    _expect(fields[:1] == ["verity"] and len(fields) >= _VERITY_FIELDS, f"{point} is not on dm-verity")
    wanted = ["4096", "4096", blocks, "0", "sha256", root_hash, salt]
    _expect(fields[4:_VERITY_FIELDS] == wanted, f"{point} has another hash tree than the command line names")
    lacking = [word for word in ("panic_on_corruption", "panic_on_error") if word not in fields]
    _expect(not lacking, f"{point} lacks {' and '.join(lacking)}")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("root-verity", root_is_verified),
    ("model-verity", model_is_verified),
    ("command-line", command_line_is_ours),
    ("lockdown", kernel_is_locked_down),
    ("module-signatures", modules_are_signed),
    ("gpus", gpus_are_those_that_are_due),
    ("hot-plug", no_device_is_taken_later),
    ("credentials", no_credentials_from_the_host),
    ("firewall", firewall_drops_by_default),
    ("listeners", nobody_listens),
    ("swap", nothing_is_swapped),
    ("logs", nothing_is_logged),
    ("sysctl", kernel_settings_hold),
    ("clock", clock_is_sane),
)
NAMES = tuple(name for name, _ in CHECKS)
