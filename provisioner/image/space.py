"""Asking for disk space before a tool needs it."""

from __future__ import annotations

import os
from pathlib import Path

from provisioner.errors import BakeError

_MARGIN = 16 << 20
_BLOCK = 4096


def size_of(tree: Path) -> int:
    """Return how many bytes a tree's files take in whole blocks, links counted once each."""
    blocks = 0
    for folder, folders, names in os.walk(tree):
        blocks += len(folders)
        blocks += sum(-(-(Path(folder) / name).lstat().st_size // _BLOCK) for name in names)
    return blocks * _BLOCK


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what would not fit.

    Says nothing about a moment later: somebody else may fill the disk meanwhile.

    Raises:
        BakeError: there is too little; it says how much is needed and how much there is.
    """
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    if free < needed + _MARGIN:
        raise BakeError(
            f"{what}: the disk is full; it needs {(needed + _MARGIN) >> 20} MiB, {folder} has {free >> 20} MiB: "
            "free some space (build/cache may be deleted) and run it again"
        )
