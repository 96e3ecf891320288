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
from provisioner.image.closure import Pin, obtain_closure, unpack_closure
from provisioner.image.cuda import require_fitting
from provisioner.image.debs import obtain
from provisioner.image.driver import driver_version, obtain_driver
from provisioner.image.packages import PackageLock, parse_lock, serialise_lock, shipped_lock
from provisioner.image.sources import Sources
from provisioner.progress import Progress

# Where the engine's wheels lie: nothing but the engine imports from there.
ENGINE_SITE = "usr/lib/vitrine-vllm"
_STATE = "rootfs.json"
_LOCK = "packages.lock.json"


@dataclass(frozen=True, slots=True)
class Gpus:
    """A GPU image: for how many, and the wheels of the engine that uses them."""

    count: int
    wheels: tuple[Pin, ...]


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A work folder with a tree to configure, and what that tree and its tools were made of.

    ``gpus`` is for how many GPUs it is; where there are any, the tree has their driver and the engine's wheels.
    """

    workdir: Path
    base: Base
    tools: Base
    lock: PackageLock
    drift: tuple[str, ...]
    gpus: int = 0

    @property
    def tree(self) -> Path:
        """The root file system to configure."""
        return self.workdir / "tree"

    @property
    def epoch(self) -> int:
        """The instant that stands for all time stamps of this bake."""
        return self.lock.epoch


def prepare_rootfs(workdir: Path, sources: Sources, *, progress: Progress, gpus: Gpus | None = None) -> Rootfs:
    """Make a fresh tree in ``workdir``, downloading and bootstrapping what the cache does not hold yet.

    Raises:
        BakeError: a package or wheel cannot be had as locked, driver and wheels do not fit each other, or ``workdir``
            holds something that is not ours.
    """
    with process.fixed_umask():
        if gpus is not None:
            require_fitting(driver_version(shipped_lock()), [(pin.name, pin.version) for pin in gpus.wheels])
        rootfs = _prepare(workdir, sources, gpus.count if gpus else 0, progress=progress)
        if gpus is not None:
            _add_gpus(rootfs, gpus.wheels, sources, progress=progress)
        return rootfs


def _add_gpus(rootfs: Rootfs, wheels: tuple[Pin, ...], sources: Sources, *, progress: Progress) -> None:
    release = kernel_release(rootfs.tree)
    driver = obtain_driver(rootfs.lock, sources, release, progress=progress)
    process.run(["cp", "-a", "--reflink=auto", f"{driver.tree}/.", rootfs.tree], what="adding the GPU driver")
    folder = obtain_closure(wheels, sources.cache, progress=progress)
    progress(f"unpacking {len(wheels)} wheels of the engine")
    unpack_closure(wheels, folder, rootfs.tree / ENGINE_SITE)


def _prepare(workdir: Path, sources: Sources, gpus: int, *, progress: Progress) -> Rootfs:
    packages = obtain(shipped_lock(), sources, progress=progress)
    # Each takes one core for a minute; they share nothing but package files.
    with ThreadPoolExecutor(max_workers=2) as pool:
        making_tools = pool.submit(tools_base, packages, sources, progress=progress)
        base = image_base(packages, sources, progress=progress)
        tools = making_tools.result()
    _clear(workdir)
    rootfs = Rootfs(workdir.resolve(), base, tools, packages.lock, packages.drift, gpus)
    _write_state(rootfs)
    progress(f"copying the base tree {base.key[:12]}")
    process.run(["cp", "-a", "--reflink=auto", base.tree, rootfs.tree], what="copying the base tree")
    return rootfs


def kernel_release(tree: Path) -> str:
    """Return the version of the one kernel of a tree.

    Raises:
        BakeError: there is none, or more than one.
    """
    found = sorted(path.name for path in (tree / "usr/lib/modules").glob("*"))
    if len(found) != 1:
        raise BakeError(f"the tree holds {len(found)} kernels' modules, expected one: {found}")
    return found[0]


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
    return Rootfs(
        workdir.resolve(), _base(state["base"]), _base(state["tools"]), lock, tuple(state["drift"]), state["gpus"]
    )


def _base(state: dict[str, str]) -> Base:
    return Base(folder=Path(state["folder"]), key=state["key"])


def _write_state(rootfs: Rootfs) -> None:
    state = {"drift": list(rootfs.drift), "gpus": rootfs.gpus}
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
