"""NVIDIA's driver for the image's own kernel: built once, in a tree of its own, of which nothing else is kept.

The source and the compiler come from the package lock, the result depends on nothing else: modules for memory
management and compute alone (no display), the GPU's firmware, and the two libraries that programs ask the driver by.
No compiler, no header and no source reaches the image.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.base import install
from provisioner.image.chroot import run_inside
from provisioner.image.debs import Packages, obtain
from provisioner.image.files import check_file
from provisioner.image.packages import EVERY_BAKE, Package, PackageLock
from provisioner.image.shelf import make_once
from provisioner.image.sources import Sources
from provisioner.progress import Progress

SOURCE = "nvidia-open-kernel-dkms"
MODULES = ("nvidia", "nvidia-uvm")
HOME = "usr/lib/vitrine/driver"
# In the order in which the initrd loads them. The nodes in /dev are the image's own business, not the library's.
ORDER = "nvidia.ko NVreg_ModifyDeviceFiles=0\nnvidia-uvm.ko\n"
_RECIPE = 1
_MARKER = "complete"
_EXCLUDED = "nvidia-modeset nvidia-drm nvidia-peermem"
_LIBRARIES = ("libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so")
# Hopper and Blackwell run the firmware that is named after Ampere.
_FIRMWARE = "gsp_ga10x.bin"
_VERSION = re.compile(r"(\d{3}(?:\.\d+){1,2})-.+")


@dataclass(frozen=True, slots=True)
class Patch:
    """One place of the source that the locked kernel no longer takes."""

    file: str
    old: str
    new: str


# A stable update of Linux 6.12 (6.12.118 has it) gave the function a fourth argument: the BARs to leave alone.
PATCHES = (
    Patch(
        "nvidia/nv-pci.c",
        "pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size)",
        "pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size, 0)",
    ),
)


@dataclass(frozen=True, slots=True)
class Driver:
    """A built driver: ``tree`` is to be laid over the image's."""

    folder: Path
    version: str
    packages: tuple[Package, ...]

    @property
    def tree(self) -> Path:
        """The files, at their places in the image."""
        return self.folder / "tree"


def driver_version(lock: PackageLock) -> str:
    """Return the version of the locked driver.

    Raises:
        BakeError: the lock has none.
    """
    found = [match[1] for p in lock.driver.packages if p.name == SOURCE and (match := _VERSION.fullmatch(p.version))]
    if len(found) != 1:
        raise BakeError(f"package lock: driver: no version of {SOURCE}")
    return found[0]


def driver_key(lock: PackageLock) -> str:
    """Hash everything that a driver is made of."""
    patches = [[patch.file, patch.old, patch.new] for patch in PATCHES]
    parts = {"recipe": _RECIPE, "tree": lock.digest("driver"), "patches": patches, "order": ORDER}
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def obtain_driver(lock: PackageLock, sources: Sources, release: str, *, progress: Progress) -> Driver:
    """Return the driver for the kernel ``release``, built now if it is not in the cache.

    Raises:
        BakeError: a package cannot be had, the headers are another kernel's, or it does not build.
    """
    packages = obtain(lock, sources, progress=progress, trees=(*EVERY_BAKE, "driver"))
    version = driver_version(packages.lock)

    def make(folder: Path) -> None:
        _make(folder, packages, version, release, progress=progress)

    final = make_once(sources.cache / "driver" / driver_key(packages.lock), _MARKER, make, what="building the driver")
    unpacked = tuple(p for p in packages.lock.driver.packages if p.name in packages.lock.driver.unpacked)
    return Driver(final, version, unpacked)


def patch_source(source: Path) -> None:
    """Apply our patches, each exactly once.

    Raises:
        BakeError: the source is another than the patch is for.
    """
    for patch in PATCHES:
        path = source / patch.file
        text = path.read_text()
        if text.count(patch.old) != 1:
            raise BakeError(f"{patch.file}: the patch does not fit this driver; look at PATCHES in driver.py")
        path.write_text(text.replace(patch.old, patch.new))


def _make(folder: Path, packages: Packages, version: str, release: str, *, progress: Progress) -> None:
    work = folder / "work"
    work.mkdir()
    install(work, packages, "driver", progress=progress)
    locked = packages.lock.driver
    for package in (p for p in locked.packages if p.name in locked.unpacked):
        check_file(packages.path(package), package)
        process.run(["dpkg-deb", "-x", packages.path(package), work / "tree"], what=f"unpacking {package.name}")
    built = _build(work / "tree", version, release, packages.lock.epoch, progress=progress)
    _collect(work / "tree", built, folder / "tree", version)
    shutil.rmtree(work)
    (folder / _MARKER).write_bytes(b"")


def _build(tree: Path, version: str, release: str, epoch: int, *, progress: Progress) -> Path:
    (source,) = (tree / "usr/src").glob(f"nvidia-*-{version}")
    if not (tree / "usr/lib/modules" / release / "build").is_symlink():
        raise BakeError(f"the lock's headers are not those of the kernel {release}; run `make lock`")
    patch_source(source)
    progress(f"building NVIDIA's driver {version} for Linux {release} (minutes)")
    environment = {
        "SOURCE_DATE_EPOCH": str(epoch),
        "KBUILD_BUILD_TIMESTAMP": f"@{epoch}",
        "KBUILD_BUILD_USER": "vitrine",
        "KBUILD_BUILD_HOST": "vitrine",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    inside = f"/{source.relative_to(tree)}"
    make = ["make", "-C", inside, "-j2", "modules", f"KERNEL_UNAME={release}", f"NV_EXCLUDE_KERNEL_MODULES={_EXCLUDED}"]
    run_inside(tree, make, what="building NVIDIA's driver", writable=True, env=environment)
    strip = ["strip", "--strip-debug", *(f"{inside}/{name}.ko" for name in MODULES)]
    run_inside(tree, strip, what="stripping NVIDIA's driver", writable=True)
    return source


def _collect(tree: Path, source: Path, target: Path, version: str) -> None:
    """Take what the image needs, and the licences with it."""
    for name in MODULES:
        _take(source / f"{name}.ko", target / HOME / f"{name}.ko")
    (target / HOME / "order").write_text(ORDER)
    (target / HOME / "version").write_text(f"{version}\n")
    for name in _LIBRARIES:
        library = f"{name}.{version}"
        (found,) = (tree / "usr/lib/x86_64-linux-gnu").rglob(library)
        _take(found, target / "usr/lib/x86_64-linux-gnu" / library)
        (target / "usr/lib/x86_64-linux-gnu" / f"{name}.1").symlink_to(library)
    firmware = f"usr/lib/firmware/nvidia/{version}/{_FIRMWARE}"
    _take(tree / firmware, target / firmware)
    for package in (SOURCE, "firmware-nvidia-gsp", "libcuda1", "libnvidia-ml1", "libnvidia-ptxjitcompiler1"):
        licence = f"usr/share/doc/{package}/copyright"
        _take(tree / licence, target / licence)


def _take(source: Path, target: Path) -> None:
    if not source.is_file():
        raise BakeError(f"the driver's packages have no {source.name}")
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)
