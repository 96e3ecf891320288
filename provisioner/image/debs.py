"""Getting the locked package files: from the cache, else from the mirror; every byte checked against the lock."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image import apt
from provisioner.image.files import check_file
from provisioner.image.mirror import Mirror, find_mirror
from provisioner.image.packages import (
    EVERY_BAKE,
    TREES,
    Package,
    PackageLock,
    Tree,
    Wanted,
    parse_lock,
    serialise_lock,
    shipped_wanted,
)
from provisioner.image.shelf import alone
from provisioner.image.sources import Sources
from provisioner.progress import Progress

_FLAVOUR = "-cloud-amd64"


@dataclass(frozen=True, slots=True)
class Packages:
    """Package files that are all in the cache, the lock that names them, and how it differs from the shipped one."""

    lock: PackageLock
    folder: Path
    drift: tuple[str, ...] = ()

    def path(self, package: Package) -> Path:
        """Return where a package file lies."""
        return self.folder / f"{package.sha256}.deb"


def obtain(lock: PackageLock, sources: Sources, *, progress: Progress, trees: tuple[str, ...] = EVERY_BAKE) -> Packages:
    """Bring every file of these trees of the lock into the cache.

    But for a release, a lock that the mirror can no longer serve is resolved anew, and the differences are named.

    Raises:
        BakeError: a file cannot be had (release mode), or no mirror can be reached.
    """
    folder = sources.cache / "debs"
    folder.mkdir(parents=True, exist_ok=True)
    if not _missing(lock, folder, trees):
        return Packages(lock, folder)
    with alone(folder / "downloads"):
        return _download(lock, sources, folder, trees, progress=progress)


def _download(
    lock: PackageLock, sources: Sources, folder: Path, trees: tuple[str, ...], *, progress: Progress
) -> Packages:
    if sources.mode != "release" and (earlier := _earlier_drift(lock, sources, trees)):
        return Packages(earlier, folder, drift=differences(lock, earlier))
    mirror = find_mirror(sources.mirror, sources.security_mirror)
    conf = apt.private_conf(sources.cache / "apt")
    words = _fetch(conf, mirror, _missing(lock, folder, trees), folder, progress=progress)
    missing = _missing(lock, folder, trees)
    if not missing:
        return Packages(lock, folder)
    # A mirror that answers with an index but not with these files has moved on; one that does not answer is no news.
    private = apt.open_apt(sources.cache / "apt", mirror, lock.suite, progress=progress)
    if sources.mode == "release":
        raise BakeError(
            f"the mirror does not serve {_names(missing)} as locked, and a release takes nothing else: "
            f"refresh the lock with `make lock` and review the difference ({words})"
        )
    progress(f"the mirror no longer serves {_names(missing)}; a test bake goes on with what it has")
    return _follow_mirror(lock, sources, mirror, private, trees, progress=progress)


def differences(old: PackageLock, new: PackageLock) -> tuple[str, ...]:
    """Name every package whose content differs between two locks, tree by tree."""
    before, after = _by_tree(old), _by_tree(new)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return tuple(filter(None, (_difference(key, before.get(key), after.get(key)) for key in changed)))


def _difference(key: str, old: Package | None, new: Package | None) -> str:
    """Say how a package differs; one that was only moved within the archive does not."""
    if old is None or new is None or old.version != new.version:
        return f"{key} {_version(old)} -> {_version(new)}"
    return "" if old.sha256 == new.sha256 else f"{key} {old.version}: another file of the same version"


def _by_tree(lock: PackageLock) -> dict[str, Package]:
    return {f"{name}: {package.name}": package for name in TREES for package in lock.tree(name).packages}


def _follow_mirror(
    lock: PackageLock, sources: Sources, mirror: Mirror, private: apt.Apt, trees: tuple[str, ...], *, progress: Progress
) -> Packages:
    folder = sources.cache / "debs"
    fresh = resolve(private, lock.suite, lock.epoch)
    words = _fetch(private.conf, mirror, _missing(fresh, folder, trees), folder, progress=progress)
    missing = _missing(fresh, folder, trees)
    if missing:
        raise BakeError(f"the mirror lists {_names(missing)} but does not serve it ({words})")
    _drift_file(lock, sources).write_bytes(serialise_lock(fresh))
    drift = differences(lock, fresh)
    progress(f"{len(drift)} packages differ from the lock: {'; '.join(drift)}")
    return Packages(fresh, folder, drift=drift)


def resolve(private: apt.Apt, suite: str, epoch: int) -> PackageLock:
    """Resolve the trees against one state of the mirror; the driver is built for the kernel of the image."""
    image = private.resolve(shipped_wanted("image"))
    return PackageLock(
        suite=suite,
        epoch=epoch,
        image=image,
        tools=private.resolve(shipped_wanted("tools")),
        driver=private.resolve(driver_wanted(image)),
    )


def driver_wanted(image: Tree) -> Wanted:
    """Name the headers of the image's kernel among what the driver is built from.

    Raises:
        BakeError: the image has no kernel, or more than one.
    """
    wanted = shipped_wanted("driver")
    kernels = [name.removeprefix("linux-image-") for name in image.unpacked if name.startswith("linux-image-")]
    if len(kernels) != 1 or not kernels[0].endswith(_FLAVOUR):
        raise BakeError(f"expected one kernel of Debian's cloud flavour in the image, got {kernels}")
    version = kernels[0].removesuffix(_FLAVOUR)
    headers = (f"linux-headers-{kernels[0]}", f"linux-headers-{version}-common", f"linux-kbuild-{version}")
    return Wanted(wanted.install, wanted.unpack | dict.fromkeys(headers, "the kernel's side of the driver's interface"))


def drift_name(lock: PackageLock) -> str:
    """Name the file that says what a test bake took where the mirror no longer had this lock's files."""
    return f"drift-{hashlib.sha256(serialise_lock(lock)).hexdigest()[:16]}.lock.json"


def _drift_file(lock: PackageLock, sources: Sources) -> Path:
    return sources.cache / "debs" / drift_name(lock)


def _earlier_drift(lock: PackageLock, sources: Sources, trees: tuple[str, ...]) -> PackageLock | None:
    """Return what an earlier test bake fell back to, as long as the cache still holds all of it."""
    path = _drift_file(lock, sources)
    if not path.is_file():
        return None
    earlier = parse_lock(path.read_bytes())
    return None if _missing(earlier, sources.cache / "debs", trees) else earlier


def _missing(lock: PackageLock, folder: Path, trees: tuple[str, ...]) -> tuple[Package, ...]:
    return tuple(p for p in lock.files(trees) if not (folder / f"{p.sha256}.deb").is_file())


def _fetch(conf: Path, mirror: Mirror, packages: Sequence[Package], folder: Path, *, progress: Progress) -> str:
    words = apt.download(conf, mirror, packages, folder, progress=progress)
    for package in packages:
        part = folder / f"{package.sha256}.deb.part"
        if part.is_file():
            check_file(part, package)
            part.replace(folder / f"{package.sha256}.deb")
    return words


def _names(packages: Sequence[Package]) -> str:
    shown = ", ".join(f"{package.name} {package.version}" for package in packages[:5])
    return shown if len(packages) <= 5 else f"{shown} and {len(packages) - 5} more"


def _version(package: Package | None) -> str:
    return "absent" if package is None else package.version
