"""Taking out of a tree what differs from one making of it to the next, or what no sealed VM needs.

It happens twice, from one table: to the base tree when it was just bootstrapped, and to the configured one before the
gate looks at it. Nothing here follows a link out of the tree.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from provisioner.errors import BakeError

# A name that ends with a slash is a folder whose contents go while it stays: something is mounted over it, or nothing
# may be in it. Everything else goes itself.
_BOTH_TIMES = (
    *("boot/", "dev/", "media/", "mnt/", "proc/", "run/", "sys/", "tmp/"),
    *("var/cache/", "var/log/", "var/tmp/", "var/lib/apt/"),
    # Backups and locks of the tools that edit accounts and packages.
    *("etc/*-", "etc/.pwd.lock"),
    *("var/lib/dpkg/*-old", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "var/lib/dpkg/triggers/Lock"),
    # State of the machine that made it.
    *("var/lib/shells.state", "var/lib/systemd/catalog/database"),
    *("var/lib/systemd/random-seed", "var/lib/systemd/credential.secret"),
)
# What bootstrapping leaves of the host or of itself, and tables that nobody reads in a VM without consoles. The roles
# may put files of theirs at the same places.
_BEFORE_THE_ROLES = (
    *("etc/apt", "etc/hostname", "etc/resolv.conf", "etc/dpkg/dpkg.cfg.d/99mmdebstrap"),
    *("usr/lib/udev/hwdb.bin", "usr/lib/udev/hwdb.d"),
)
# What configuring leaves; and what only a package manager needs, which no sealed VM has.
_AFTER_THE_ROLES = (
    *("home/", "root/", "srv/", "var/backups/", "var/lib/", "var/mail/", "var/spool/"),
    *("etc/*.dpkg-*", "etc/**/*.dpkg-*", "etc/.resolv.conf*", "etc/resolv.conf"),
    "usr/lib/vitrine/**/__pycache__",
)
# With these the tree was configured and judged. But for a debug image, which says so itself, no image has a shell.
_TOOLS = ("usr/bin/sh", "usr/bin/dash", "usr/bin/systemd-analyze", "usr/bin/systemd-sysusers")
DEBUG_MARK = "usr/lib/vitrine/debug"
_CLOCK = "usr/lib/clock-epoch"
_SHADOW = "etc/shadow"


def clean_base(tree: Path) -> None:
    """Clean a tree that was just bootstrapped, and take every set-user-id and set-group-id bit away.

    Raises:
        BakeError: a link in the tree leads out of it.
        OSError: something cannot be removed.
    """
    _take_out(tree, (*_BOTH_TIMES, *_BEFORE_THE_ROLES))
    for path in _files(tree):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
    (tree / "work").mkdir(mode=0o755, exist_ok=True)


def clean(tree: Path) -> None:
    """Bring a configured tree to the state in which it is sealed. Running it twice changes nothing more.

    Raises:
        BakeError: a link in the tree leads out of it, or something cannot be removed.
    """
    try:
        tools = () if (tree / DEBUG_MARK).exists() else _TOOLS
        _take_out(tree, (*_BOTH_TIMES, *_AFTER_THE_ROLES, *tools))
        _inside(tree, "etc/machine-id").write_bytes(b"")
        _forget_password_dates(tree)
    except OSError as error:
        raise BakeError(f"clean: {error}") from error


def normalise(tree: Path, epoch: int, mount_points: tuple[str, ...]) -> None:
    """Give a clean tree what packing and booting need: mount points, and the time that no clock goes behind.

    Raises:
        BakeError: a link is in the way.
        OSError: something cannot be written.
    """
    for point in mount_points:
        _inside(tree, point.lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)
    # systemd starts its clock no earlier than this file's time.
    clock = _inside(tree, _CLOCK)
    clock.write_bytes(b"")
    os.utime(clock, (epoch, epoch))
    work = tree / "work"
    if work.is_dir():
        work.rmdir()


def _take_out(tree: Path, names: tuple[str, ...]) -> None:
    if not tree.is_dir():
        raise BakeError(f"clean: {tree} is not a folder")
    for name in names:
        if name.endswith("/"):
            _empty(tree, name.rstrip("/"))
        else:
            for path in _matching(tree, name):
                _remove(tree, path)


def _matching(tree: Path, name: str) -> list[Path]:
    # A glob without a star would not find a link that leads nowhere.
    return sorted(tree.glob(name)) if "*" in name else [tree / name]


def _empty(tree: Path, name: str) -> None:
    # In Debian some are links to others that are on the list themselves.
    if not (tree / name).is_dir() or (tree / name).is_symlink():
        return
    for path in sorted(_inside(tree, name).iterdir()):
        _remove(tree, path)


def _remove(tree: Path, path: Path) -> None:
    """Remove a file, a folder or a link, never what a link points to."""
    _refuse_outside(tree, path.parent)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _inside(tree: Path, name: str) -> Path:
    path = tree / name
    if path.is_symlink():
        raise BakeError(f"clean: /{name} is a link; refusing to follow it")
    _refuse_outside(tree, path)
    return path


def _refuse_outside(tree: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(tree.resolve()):
        raise BakeError(f"clean: {path} leads out of the tree; refusing to follow it")


def _files(tree: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(tree):
        yield from (Path(folder) / name for name in names)


def _forget_password_dates(tree: Path) -> None:
    """Empty the third field of every line of shadow: the day of the bake says nothing and makes bakes differ."""
    path = _inside(tree, _SHADOW)
    if not path.exists():
        return
    lines = [line.split(":") for line in path.read_text().splitlines()]
    path.write_text("".join(":".join([*line[:2], "", *line[3:]]) + "\n" for line in lines))
