"""What the self-check judges: facts that only root may read, gathered once.

Gathering proves nothing; :mod:`serving.selfcheck.checks` judges.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from serving.errors import SelfCheckError
from serving.selfcheck.devicemapper import read_table
from serving.selfcheck.processes import Process, read_processes

FIRMWARE_LOG = "sys/kernel/security/tpm0/binary_bios_measurements"
TDX_LOG = "sys/firmware/acpi/tables/data/CCEL"
MODEL = "/usr/share/vitrine/model"
_MAX_FILE = 1024 * 1024
_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: what is mounted where, and how."""

    point: str
    kind: str
    device: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """The system as it is: ``root`` is where /proc, /sys, /run lie; ``tables`` are device-mapper tables by device.

    ``own`` is the number of the self-check itself.
    """

    root: Path
    mounts: tuple[Mount, ...]
    tables: dict[str, str]
    ruleset: bytes
    now: float
    processes: tuple[Process, ...]
    own: int

    def read(self, path: str) -> str:
        """Return a small text file below the root."""
        with (self.root / path).open("rb") as file:
            return file.read(_MAX_FILE).decode("utf-8", "replace")


def collect(root: Path) -> Facts:
    """Gather the facts.

    Raises:
        SelfCheckError: when nft or the device mapper cannot be asked.
        OSError: when the kernel shows less than everything.
    """
    # PID 1's: our own are those of a sandbox.
    mounts = parse_mounts((root / "proc/1/mountinfo").read_text())
    devices = {mount.device for mount in mounts if mount.point in {"/", MODEL}}
    tables = {device: read_table(root / "dev/mapper/control", device) for device in sorted(devices)}
    # After the rules: the program that was asked for them has ended, and is no process.
    ruleset = _ruleset()
    processes = read_processes(root / "proc", root.stat().st_dev)
    return Facts(root, mounts, tables, ruleset, time.time(), processes, os.getpid())


def read_log(root: Path, path: str) -> bytes:
    """Read a log of the firmware's, which the kernel shows to root alone; empty where the kernel has none.

    Which platform needs which log is the attester's to know, and a client's to judge.
    """
    try:
        return (root / path).read_bytes()
    except FileNotFoundError:
        return b""


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """Parse mountinfo; where two things are mounted on one point, the later one hides the earlier."""
    found: dict[str, Mount] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        options = frozenset(fields[5].split(",")) | frozenset(tail[2].split(","))
        found[fields[4]] = Mount(fields[4], tail[0], fields[2], options)
    return tuple(found.values())


def _ruleset() -> bytes:
    try:
        done = subprocess.run(
            ["/usr/sbin/nft", "--json", "list", "ruleset"], capture_output=True, timeout=_LIMIT_S, check=True, env={}
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SelfCheckError((("firewall", f"nft cannot be asked ({type(error).__name__})"),)) from error
    return done.stdout
