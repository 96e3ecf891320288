"""Remove what the bake itself left in the tree, so that two bakes agree and nobody's traces are shipped."""

from __future__ import annotations

import shutil
from pathlib import Path

from provisioner.errors import BakeError

# Folders whose contents go, while they stay.
EMPTIED = (
    *("tmp", "run", "root", "home", "media", "mnt", "srv"),
    *("var/tmp", "var/cache", "var/log", "var/backups", "var/mail", "var/spool", "var/lib"),
)
# Backups and locks of the tools that edit accounts and packages.
LEFTOVERS = ("etc/*-", "etc/.pwd.lock", "etc/*.dpkg-*", "etc/**/*.dpkg-*", "etc/.resolv.conf*", "etc/resolv.conf")
OWN_CODE = "usr/lib/vitrine"


def clean(root: Path) -> None:
    """Bring a configured tree to the state in which it is sealed. Running it twice changes nothing more.

    Raises: BakeError when a link in the tree leads out of it, or something cannot be removed.
    """
    if not root.is_dir():
        raise BakeError(f"clean: {root} is not a folder")
    try:
        for name in EMPTIED:
            _empty(root, name)
        for pattern in LEFTOVERS:
            for path in sorted(root.glob(pattern)):
                _remove(path)
        for cache in sorted((root / OWN_CODE).rglob("__pycache__")):
            _remove(cache)
        _write(root, "etc/machine-id", "")
        _forget_password_dates(root)
    except OSError as error:
        raise BakeError(f"clean: {error}") from error


def _inside(root: Path, name: str) -> Path:
    path = root / name
    if path.is_symlink() or not path.resolve().is_relative_to(root.resolve()):
        raise BakeError(f"clean: /{name} is a link, or leads out of the tree; refusing to follow it")
    return path


def _empty(root: Path, name: str) -> None:
    # In Debian some are links to others that are on the list themselves.
    if not (root / name).exists() or (root / name).is_symlink():
        return
    for path in sorted(_inside(root, name).iterdir()):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _write(root: Path, name: str, text: str) -> None:
    path = _inside(root, name)
    if path.exists():
        path.write_text(text)


def _forget_password_dates(root: Path) -> None:
    """Empty the third field of every line of shadow: the day of the bake says nothing and makes bakes differ."""
    path = _inside(root, "etc/shadow")
    if not path.exists():
        return
    lines = [line.split(":") for line in path.read_text().splitlines()]
    path.write_text("".join(":".join([*line[:2], "", *line[3:]]) + "\n" for line in lines))
