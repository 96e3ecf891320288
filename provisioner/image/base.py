"""The two base trees, made by mmdebstrap from locked files alone and kept by what they are made of."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.bytecode import compile_tree
from provisioner.image.chroot import run_inside
from provisioner.image.debs import Packages
from provisioner.image.files import check_file, share
from provisioner.image.firmware import publish_firmware
from provisioner.image.normalise import clean_base
from provisioner.image.packages import Package, PackageLock
from provisioner.image.shelf import make_once
from provisioner.image.sources import Sources
from provisioner.image.wheels import Wheel, obtain_wheel, shipped_wheels, unpack_wheel, wheels_digest
from provisioner.progress import Progress

# Raised whenever the code below makes another tree out of the same packages.
_RECIPE = 3
_SITE_PACKAGES = "usr/lib/python3/dist-packages"
_MARKER = "complete"
# Left out at unpacking: nothing reads them in a sealed VM. Copyright files stay, the licences ask for it.
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/bash-completion/*",
    "path-exclude=/usr/share/zsh/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "force-unsafe-io",
)


@dataclass(frozen=True, slots=True)
class Base:
    """A finished base tree; ``folder`` also holds vmlinuz for the image's."""

    folder: Path
    key: str

    @property
    def tree(self) -> Path:
        """The root file system; never changed after it was made."""
        return self.folder / "tree"

    @property
    def kernel(self) -> Path:
        """The kernel of the image tree."""
        return self.folder / "vmlinuz"


def base_key(lock: PackageLock, name: str, wheels: tuple[Wheel, ...]) -> str:
    """Hash everything that a base tree is made of."""
    parts = {
        "recipe": _RECIPE,
        "tree": lock.digest(name),
        "wheels": wheels_digest(wheels),
        "dpkg": _DPKG_OPTIONS,
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def image_base(packages: Packages, sources: Sources, *, progress: Progress) -> Base:
    """Return the image's base tree, made now if it is not in the cache."""
    wheels = tuple(wheel for wheel in shipped_wheels() if wheel.use == "image")
    return _base(packages, sources, "image", wheels, progress=progress)


def tools_base(packages: Packages, sources: Sources, *, progress: Progress) -> Base:
    """Return the tools tree, made now if it is not in the cache."""
    base = _base(packages, sources, "tools", (), progress=progress)
    publish_firmware(base.tree, base.key, sources.cache)
    return base


def _base(packages: Packages, sources: Sources, name: str, wheels: tuple[Wheel, ...], *, progress: Progress) -> Base:
    key = base_key(packages.lock, name, wheels)
    shelf = sources.cache / ("base" if name == "image" else "tools")

    def make(folder: Path) -> None:
        _make(folder, packages, name, progress=progress)
        for wheel in wheels:
            site = folder / "tree" / _SITE_PACKAGES
            unpack_wheel(obtain_wheel(wheel, sources.cache, progress=progress), site)
        _finish(folder, packages.lock.epoch, progress=progress)

    return Base(make_once(shelf / key, _MARKER, make, what=f"making the {name} tree"), key)


def _make(folder: Path, packages: Packages, name: str, *, progress: Progress) -> None:
    locked = packages.lock.tree(name)
    install(folder, packages, name, progress=progress)
    for package in (p for p in locked.packages if p.name in locked.unpacked):
        check_file(packages.path(package), package)
        _unpack_kernel(folder, packages.path(package))


def install(folder: Path, packages: Packages, name: str, *, progress: Progress) -> None:
    """Bootstrap ``folder``/tree from the packages of a tree that are to be installed, and no others.

    Raises:
        BakeError: a file is not what the lock says, or what was installed is not.
    """
    locked = packages.lock.tree(name)
    progress(f"making the {name} tree from {len(locked.packages)} packages (about a minute)")
    installed = [package for package in locked.packages if package.name not in locked.unpacked]
    tree = folder / "tree"
    with tempfile.TemporaryDirectory(dir=folder, prefix="repository.") as repository:
        _write_repository(Path(repository), packages, installed)
        _mmdebstrap(tree, Path(repository), packages, installed)
    _refuse_difference(tree, installed, name)


def _write_repository(folder: Path, packages: Packages, installed: list[Package]) -> None:
    """Write a flat repository of exactly these files; what apt could choose from is what it must choose."""
    folder.chmod(0o755)
    stanzas = []
    for package in installed:
        source = packages.path(package)
        check_file(source, package)
        name = f"{package.sha256}.deb"
        share(source, folder / name)
        control = process.run(["dpkg-deb", "-f", source], what=f"reading {package.name}").decode().strip()
        stanzas.append(f"{control}\nFilename: ./{name}\nSize: {package.size}\nSHA256: {package.sha256}\n")
    (folder / "Packages").write_text("\n".join(stanzas))


def _mmdebstrap(tree: Path, repository: Path, packages: Packages, installed: list[Package]) -> None:
    include = ",".join(package.name for package in installed)
    options = [f"--dpkgopt={option}" for option in _DPKG_OPTIONS]
    quiet = ["--quiet", "--variant=custom", "--mode=root", "--architectures=amd64", "--format=directory"]
    source = f"deb [trusted=yes] copy://{quote(str(repository.resolve()))} ./"
    process.run(
        ["mmdebstrap", *quiet, f"--include={include}", *options, packages.lock.suite, tree, source],
        what="bootstrapping the tree",
        env={"SOURCE_DATE_EPOCH": str(packages.lock.epoch), "DEBIAN_FRONTEND": "noninteractive"},
    )


def _refuse_difference(tree: Path, installed: list[Package], name: str) -> None:
    query = ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "-W", "-f=${db:Status-Abbrev}|${Package}|${Version}\\n"]
    lines = process.run(query, what="listing what was installed").decode().split("\n")
    got = {line for line in lines if line}
    expected = {f"ii |{package.name}|{package.version}" for package in installed}
    if got != expected:
        raise BakeError(f"the {name} tree is not what the lock says: {sorted(got ^ expected)[:6]}")


def _unpack_kernel(folder: Path, deb: Path) -> None:
    """Unpack a kernel without its maintainer scripts: they would want a boot loader and an initramfs generator."""
    tree = folder / "tree"
    with tempfile.TemporaryDirectory(dir=folder, prefix="kernel.") as unpacked:
        process.run(["dpkg-deb", "-x", deb, unpacked], what="unpacking the kernel")
        (modules,) = (Path(unpacked) / "usr/lib/modules").iterdir()
        shutil.move(Path(unpacked) / f"boot/vmlinuz-{modules.name}", folder / "vmlinuz")
        shutil.move(Path(unpacked) / f"boot/config-{modules.name}", folder / "config")
        (tree / "usr/lib/modules").mkdir(mode=0o755, exist_ok=True)
        shutil.move(modules, tree / "usr/lib/modules" / modules.name)
    run_inside(tree, ["depmod", modules.name], what="indexing the kernel's modules", writable=True)


def _finish(folder: Path, epoch: int, *, progress: Progress) -> None:
    tree = folder / "tree"
    clean_base(tree)
    progress("compiling Python files with the tree's own Python")
    compile_tree(tree)
    # The trees hold another system's programs: nobody but root has business in them.
    folder.chmod(0o700)
    (folder / _MARKER).write_text(f"{epoch}\n")
