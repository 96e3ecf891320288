"""A fresh copy of the image's base tree for the roles to configure."""

from __future__ import annotations

import dataclasses
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.base import Base, image_base, tools_base
from provisioner.image.debs import obtain
from provisioner.image.packages import PackageLock, parse_lock, serialise_lock, shipped_lock
from provisioner.image.sources import Sources
from provisioner.progress import Progress

_STATE = "rootfs.json"
_LOCK = "packages.lock.json"


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A work folder with a tree to configure, and what that tree and its tools were made of."""

    workdir: Path
    base: Base
    tools: Base
    lock: PackageLock
    drift: tuple[str, ...]

    @property
    def tree(self) -> Path:
        """The root file system to configure."""
        return self.workdir / "tree"

    @property
    def epoch(self) -> int:
        """The instant that stands for all time stamps of this bake."""
        return self.lock.epoch


def prepare_rootfs(workdir: Path, sources: Sources, *, progress: Progress) -> Rootfs:
    """Make a fresh tree in ``workdir``, downloading and bootstrapping what the cache does not hold yet.

    Raises:
        BakeError: a package or wheel cannot be had as locked, or ``workdir`` holds something that is not ours.
    """
    with process.fixed_umask():
        return _prepare(workdir, sources, progress=progress)


def _prepare(workdir: Path, sources: Sources, *, progress: Progress) -> Rootfs:
    packages = obtain(shipped_lock(), sources, progress=progress)
    # Each takes one core for a minute; they share nothing but package files.
    with ThreadPoolExecutor(max_workers=2) as pool:
        making_tools = pool.submit(tools_base, packages, sources, progress=progress)
        base = image_base(packages, sources, progress=progress)
        tools = making_tools.result()
    _clear(workdir)
    rootfs = Rootfs(workdir.resolve(), base, tools, packages.lock, packages.drift)
    _write_state(rootfs)
    progress(f"copying the base tree {base.key[:12]}")
    process.run(["cp", "-a", "--reflink=auto", base.tree, rootfs.tree], what="copying the base tree")
    return rootfs


def load_rootfs(workdir: Path) -> Rootfs:
    """Return what ``prepare_rootfs`` made in a folder, in a later process.

    Raises:
        BakeError: nothing was prepared there.
    """
    try:
        state = json.loads((workdir / _STATE).read_bytes())
        lock = parse_lock((workdir / _LOCK).read_bytes())
    except (OSError, ValueError) as error:
        raise BakeError(f"{workdir} holds no prepared root file system; run the bake from its start") from error
    return Rootfs(workdir.resolve(), _base(state["base"]), _base(state["tools"]), lock, tuple(state["drift"]))


def _base(state: dict[str, str]) -> Base:
    return Base(folder=Path(state["folder"]), key=state["key"])


def _write_state(rootfs: Rootfs) -> None:
    state = {"drift": list(rootfs.drift)}
    bases = {name: _base_state(base) for name, base in (("base", rootfs.base), ("tools", rootfs.tools))}
    (rootfs.workdir / _STATE).write_text(json.dumps({**state, **bases}, indent=1))
    (rootfs.workdir / _LOCK).write_bytes(serialise_lock(rootfs.lock))


def _base_state(base: Base) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in dataclasses.asdict(dataclasses.replace(base, folder=base.folder.resolve())).items()
    }


def _clear(workdir: Path) -> None:
    if workdir.exists() and any(workdir.iterdir()) and not (workdir / _STATE).is_file():
        raise BakeError(f"{workdir} is not empty and not a work folder of ours; name another")
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True, mode=0o700)
