"""What may be there: mounts, device nodes, disks. What is not on a list has no business in a locked machine.

The lists name what the kernel makes on QEMU, Google Cloud and Azure with the drivers that the initrd loads.
"""

from __future__ import annotations

# Where what is mounted, as PID 1 sees it.
MOUNTS = {
    "/": "erofs",
    "/dev": "devtmpfs",
    "/dev/mqueue": "mqueue",
    "/dev/pts": "devpts",
    "/dev/shm": "tmpfs",  # noqa: S108 - it is what the initrd mounts there, read-only
    "/proc": "proc",
    "/run": "tmpfs",
    "/sys": "sysfs",
    "/sys/firmware/efi/efivars": "efivarfs",
    "/sys/fs/bpf": "bpf",
    "/sys/fs/cgroup": "cgroup2",
    "/sys/fs/pstore": "pstore",
    "/sys/kernel/config": "configfs",
    "/sys/kernel/security": "securityfs",
    "/etc/machine-id": "tmpfs",
    "/usr/share/vitrine/model": "erofs",
}
# One file, read-only, that PID 1 itself wrote a random number to.
FILES = ("/etc/machine-id",)

# Nodes in /dev that are no disks, as patterns. Services see what their units name, of these and at all.
NODES = (
    *("console", "full", "kmsg", "mem", "null", "port", "ptmx", "random", "tty*", "urandom", "zero"),
    *("cpu_dma_latency", "hpet", "mcelog", "nvram", "psaux", "rtc*", "snapshot", "vga_arbiter", "vcs*", "udmabuf"),
    *("mapper/control", "cpu/*", "userfaultfd", "loop-control", "autofs", "fuse", "ptp*", "pps*", "input/*", "rfkill"),
    *("tpm0", "tpmrm0", "tdx_guest", "sev-guest", "vmbus/*", "hwrng", "gpiochip*", "watchdog*"),
    "dma_heap/system",
    *("nvme[0-9]*", "ng[0-9]*", "bsg/*", "sg[0-9]*"),
)
GPU_NODES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm", "nvidia-caps/*")

# What a driver of ours makes of a disk that the host plugs in. There is no loop, RAM or network block device.
DISKS = ("vd*", "sd*", "nvme*")
VERITIES = ("vitrine-model", "vitrine-root")
