"""What can be counted in a root file system: programs, set-user-id files, units that start, modules, bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.gate.executables import programs
from provisioner.gate.tree import Found, Tree, walk

UNITS = ("etc/systemd/system/", "usr/lib/systemd/system/")
MODULES = "usr/lib/modules/"
SHELLS = ("sh", "dash", "bash", "rbash", "busybox")


@dataclass(frozen=True, slots=True)
class Counted:
    """One number about a tree: what it is and how to get it."""

    what: str
    count: Callable[[Tree], int]


def _mode(bits: int) -> Callable[[Tree], int]:
    return lambda tree: sum(found.is_file and bool(found.state.st_mode & bits) for found in tree.found)


def _starting(kinds: tuple[str, ...]) -> Callable[[Tree], int]:
    def starts(found: Found) -> bool:
        in_units = found.path.startswith(UNITS) and Path(found.path).suffix in kinds
        return in_units and found.path.split("/")[-2].endswith((".wants", ".requires", ".upholds"))

    return lambda tree: len({found.path.rpartition("/")[2] for found in tree.found if starts(found)})


def _kind(start: bytes) -> Callable[[Tree], int]:
    def begins(tree: Tree, found: Found) -> bool:
        with (tree.root / found.path).open("rb") as file:
            return file.read(len(start)) == start

    return lambda tree: sum(found.is_file and begins(tree, found) for found in programs(tree))


def _capable(tree: Tree) -> int:
    files = (tree.root / found.path for found in tree.found if found.is_file)
    return sum("security.capability" in os.listxattr(path, follow_symlinks=False) for path in files)


def _shells(tree: Tree) -> int:
    return sum(found.path in {f"usr/bin/{name}" for name in SHELLS} for found in tree.found)


COUNTS = (
    Counted("executables (files with an execute bit, links among commands)", lambda tree: len(list(programs(tree)))),
    Counted("… of them machine code", _kind(b"\x7fELF")),
    Counted("… of them scripts", _kind(b"#!")),
    Counted("shells", _shells),
    Counted("set-user-id files", _mode(stat.S_ISUID)),
    Counted("set-group-id files", _mode(stat.S_ISGID)),
    Counted("files with capabilities", _capable),
    Counted("units that start at boot", _starting((".service", ".mount", ".path", ".target", ".timer"))),
    Counted("sockets that systemd opens at boot", _starting((".socket",))),
    Counted("timers", _starting((".timer",))),
    Counted(
        "kernel modules on disk",
        lambda tree: sum(found.path.startswith(MODULES) and ".ko" in found.path for found in tree.found),
    ),
    Counted("files", lambda tree: sum(found.is_file for found in tree.found)),
    Counted("MiB", lambda tree: sum(found.state.st_size for found in tree.found if found.is_file) >> 20),
)


def count(root: Path) -> Mapping[str, int]:
    """Count everything in a tree."""
    tree = walk(root)
    return {counted.what: counted.count(tree) for counted in COUNTS}
