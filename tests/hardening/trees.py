"""The two trees that are compared: as mmdebstrap makes it from the lock, and as it is sealed in an image."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from provisioner.image.artefacts import BakedImage
from provisioner.image.base import Base, image_base, install, tools_base
from provisioner.image.chroot import Bind, run_inside
from provisioner.image.debs import Packages, obtain
from provisioner.image.packages import shipped_lock
from provisioner.image.sources import Sources
from provisioner.measure.gpt import find_partition, read_table
from provisioner.progress import Progress

UNPACKED = ("usr/lib/modules", "usr/lib/python3/dist-packages/xllamacpp*")
_BLOCK = 1 << 20


def locked(cache: Path, *, progress: Progress) -> tuple[Packages, Base, Base]:
    """Return the locked packages, and the base trees of image and tools."""
    sources = Sources(cache)
    packages = obtain(shipped_lock(), sources, progress=progress)
    return packages, image_base(packages, sources, progress=progress), tools_base(packages, sources, progress=progress)


def bootstrapped(packages: Packages, base: Base, folder: Path, *, progress: Progress) -> Path:
    """Make the tree as mmdebstrap leaves it, with what is unpacked beside: kernel modules, the engine's wheel."""
    folder.mkdir()
    install(folder, packages, "image", progress=progress)
    tree = folder / "tree"
    for pattern in UNPACKED:
        for path in base.tree.glob(pattern):
            shutil.copytree(path, tree / path.relative_to(base.tree), symlinks=True)
    return tree


def sealed(image: BakedImage, tools: Path, folder: Path) -> Path:
    """Take the root file system out of an image's boot disk."""
    folder.mkdir()
    with image.boot_disk.open("rb") as disk, (folder / "root.erofs").open("wb") as copy:
        part = find_partition(read_table("boot disk", disk), "vitrine-root")
        disk.seek(part.first_sector * 512)
        left = (part.last_sector - part.first_sector + 1) * 512
        while left and (block := disk.read(min(_BLOCK, left))):
            copy.write(block)
            left -= len(block)
    argv = ["fsck.erofs", "--extract=/work/tree", "--preserve", "/work/root.erofs"]
    run_inside(tools, argv, what="unpacking the root", binds=(Bind(folder, "/work", writable=True),))
    return folder / "tree"


def settings(tree: Path, cmdline: str) -> str:
    """Return what the image sets, as ``sysctl -a`` would print it. Defaults of the kernel are not in it."""
    files = sorted((tree / "etc/sysctl.d").glob("*.conf"))
    lines = [line for path in files for line in path.read_text().splitlines() if "=" in line and line[:1] not in "#;"]
    words = [word.removeprefix("sysctl.") for word in cmdline.split() if word.startswith("sysctl.")]
    pairs = [line.partition("=") for line in (*lines, *words)]
    return "".join(f"{name.strip()} = {value.strip()}\n" for name, _, value in pairs)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for all of it."""
    return tempfile.TemporaryDirectory(prefix="vitrine-hardening-")
