"""Checks: the kernel was told what the image says, and keeps even root out of itself."""

from __future__ import annotations

from serving.selfcheck.expect import expect
from serving.selfcheck.facts import Facts

CREDENTIALS, LOCKDOWN = "systemd.import_credentials=no", "lockdown=confidentiality"
# Where there are GPUs, the initrd locks the kernel once their driver is loaded.
REQUIRED_WORDS, REQUIRED_WITH_GPUS = (CREDENTIALS, LOCKDOWN), (CREDENTIALS,)
GPUS = "vitrine.gpus="
# What the bake put on the command line, but for the two words that name this file system and the model's.
WORDS, NAMING = "usr/lib/vitrine/command-line", ("vitrine.root=", "vitrine.model=")
SYSCTLS = {
    "fs/suid_dumpable": "0",
    "kernel/core_pattern": "|/bin/false",
    "kernel/dmesg_restrict": "1",
    "kernel/io_uring_disabled": "2",
    "kernel/kexec_load_disabled": "1",
    "kernel/modules_disabled": "1",
    "kernel/panic_on_oops": "1",
    "kernel/perf_event_paranoid": "3",
    "kernel/sysrq": "0",
    "kernel/unprivileged_bpf_disabled": "1",
    "kernel/yama/ptrace_scope": "3",
    "net/core/bpf_jit_harden": "2",
    "net/ipv4/ip_forward": "0",
    "user/max_user_namespaces": "0",
    "vm/memfd_noexec": "2",
    "vm/unprivileged_userfaultfd": "0",
}


def command_line_is_ours(facts: Facts) -> None:
    """Require the image's words and no others: credentials off, and lockdown on (where there are GPUs: not named)."""
    words = facts.read("proc/cmdline").split()
    required = REQUIRED_WITH_GPUS if gpus_due(facts) else REQUIRED_WORDS
    missing = [word for word in required if word not in words]
    expect(not missing, f"missing {' '.join(missing)}")
    expect(required == REQUIRED_WORDS or not [w for w in words if w.startswith("lockdown")], "lockdown is given")
    ours = facts.read(WORDS).split()
    told = [word for word in words if not word.startswith(NAMING)]
    expect(sorted(told) == sorted(ours), f"other words than the image's: {' '.join(sorted(set(told) ^ set(ours)))}")


def kernel_is_locked_down(facts: Facts) -> None:
    """Require a kernel that keeps even root out of its memory."""
    found = facts.read("sys/kernel/security/lockdown").strip()
    expect("[confidentiality]" in found.split(), f"lockdown is {found}")


def modules_are_signed(facts: Facts) -> None:
    """Require that the kernel loads no module without a signature of its maker's, should it ever load one."""
    found = facts.read("sys/module/module/parameters/sig_enforce").strip()
    expect(found == "Y", f"sig_enforce is {found}")


def kernel_settings_hold(facts: Facts) -> None:
    """Require module loading, kexec, core dumps, SysRq, tracing and the kernel's own log to be closed."""
    wrong = [name for name, value in SYSCTLS.items() if facts.read(f"proc/sys/{name}").strip() != value]
    expect(not wrong, f"other values in {' '.join(wrong)}")


def no_other_kernel_and_no_hibernation(facts: Facts) -> None:
    """Require that no second kernel waits in memory, and that memory cannot be written to a disk."""
    for name in ("kexec_loaded", "kexec_crash_loaded"):
        expect(facts.read(f"sys/kernel/{name}").strip() == "0", f"{name} is set")
    found = facts.read("sys/power/disk").strip()
    expect(found == "[disabled]", f"hibernation is {found}")


def gpus_due(facts: Facts) -> int:
    """Return how many GPUs the measured command line names."""
    found = [word.removeprefix(GPUS) for word in facts.read("proc/cmdline").split() if word.startswith(GPUS)]
    expect(len(found) <= 1, f"{GPUS} is given {len(found)} times")
    return int(found[0]) if found else 0
