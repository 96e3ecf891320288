"""What runs when the boot is about to be sealed: which programs, with which rights, in which namespace of users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ALL = (1 << 64) - 1
DAC_READ_SEARCH, NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_PTRACE, SYS_ADMIN = (1 << n for n in (2, 10, 12, 13, 19, 21))
OWN = DAC_READ_SEARCH | NET_ADMIN | SYS_PTRACE | SYS_ADMIN
_EXECUTOR = "/usr/lib/systemd/systemd-executor"
# A program, and the capabilities that it may have. An executor is a unit that is just starting; PID 1 forks it.
PROGRAMS = {
    "/usr/lib/systemd/systemd": ALL,
    _EXECUTOR: ALL,
    "/usr/lib/systemd/systemd-pcrextend": ALL,
    "/usr/lib/systemd/systemd-networkd": NET_BIND_SERVICE | NET_ADMIN | NET_RAW,
}


@dataclass(frozen=True, slots=True)
class Process:
    """A process with a program (a kernel thread has none), and whether that lies in the root file system."""

    pid: int
    program: str
    in_root: bool
    capabilities: int
    users: str


def read_processes(proc: Path, root_device: int) -> tuple[Process, ...]:
    """Look at every process; one that ends meanwhile is left out, and so are kernel threads.

    Raises:
        OSError: somebody hides a process from us.
    """
    numbers = sorted(int(path.name) for path in proc.iterdir() if path.name.isdigit())
    return tuple(found for number in numbers if (found := _read(proc / str(number), number, root_device)))


def _read(folder: Path, pid: int, root_device: int) -> Process | None:
    try:
        program = str((folder / "exe").readlink())
        device = (folder / "exe").stat().st_dev
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        users = str((folder / "ns/user").readlink())
    except (FileNotFoundError, ProcessLookupError):
        return None
    rights = int(lines["CapPrm"], 16) | int(lines["CapInh"], 16)
    return Process(pid, program, device == root_device, rights, users)
