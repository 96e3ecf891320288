"""Taking out of a tree what differs from one making of it to the next, or what no sealed VM needs."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

# Emptied, the folder itself stays: a kernel file system or a tmpfs is mounted over it, or nothing may be in it.
_EMPTIED = (
    "boot",
    "dev",
    "media",
    "mnt",
    "proc",
    "run",
    "sys",
    "tmp",
    "var/cache",
    "var/log",
    "var/tmp",
    "var/lib/apt",
)
# What bootstrapping leaves of the host or of itself, and tables that nobody reads in a VM without consoles.
_BOOTSTRAP = (
    "etc/apt",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "usr/lib/udev/hwdb.bin",
    "usr/lib/udev/hwdb.d",
)
_REMOVED = (
    "etc/.pwd.lock",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/systemd/catalog/database",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
)
_BACKUPS = ("etc/*-", "var/cache/debconf/*-old", "var/lib/dpkg/*-old", "var/lib/shells.state")
_CLOCK = "usr/lib/clock-epoch"


def clean_base(tree: Path) -> None:
    """Clean a tree that was just bootstrapped, and take every set-user-id and set-group-id bit away."""
    _clean(tree)
    for name in _BOOTSTRAP:
        _remove(tree / name)
    for path in _files(tree):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
    (tree / "work").mkdir(mode=0o755, exist_ok=True)


def normalise(tree: Path, epoch: int, mount_points: tuple[str, ...]) -> None:
    """Make a configured tree ready for packing: the same roles on the same base give the same bytes."""
    _clean(tree)
    (tree / "etc/machine-id").write_bytes(b"")
    for point in mount_points:
        (tree / point.lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)
    # systemd starts its clock no earlier than this file's time.
    clock = tree / _CLOCK
    clock.write_bytes(b"")
    os.utime(clock, (epoch, epoch))
    work = tree / "work"
    if work.is_dir():
        work.rmdir()


def _clean(tree: Path) -> None:
    for name in _EMPTIED:
        _empty(tree / name)
    for name in _REMOVED:
        _remove(tree / name)
    for pattern in _BACKUPS:
        for path in sorted(tree.glob(pattern)):
            _remove(path)


def _files(tree: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(tree):
        yield from (Path(folder) / name for name in names)


def _empty(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
