"""A whole image of some hundred kilobytes, made by the tools that make real ones; its UKI is one that never starts."""

from __future__ import annotations

import shutil
from pathlib import Path

from provisioner.image import disk
from provisioner.image.cpio import Entry, file, folder, link, write_cpio
from provisioner.image.filesystem import make_filesystem
from provisioner.image.workshop import Workshop
from tests.provisioner.measure.fake_artefacts import uki_image

EPOCH = 1_700_000_000
INITRD = (folder("bin"), file("init", b"#!/bin/sh\n", 0o755), link("bin/sh", "busybox"))


def plant(tree: Path) -> Path:
    """Make a tree with one of everything that an image has: small, large, compressed badly, linked, empty."""
    for name in ("etc/systemd/system/multi-user.target.wants", "usr/lib/systemd/system", "usr/lib/vitrine", "empty"):
        (tree / name).mkdir(parents=True)
    write = {
        "etc/passwd": b"root:x:0:0\n",
        "usr/lib/vitrine/firewall.nft": b"table inet vitrine {\n  policy drop;\n}\n",
        "usr/lib/systemd/system/fw.service": b"[Service]\nExecStart=nft -f /usr/lib/vitrine/firewall.nft\n",
        "usr/lib/systemd/system/quiet.service": b"[Service]\n",
        "nothing": b"",
        "text": b"".join(b"line %d of a text that is longer than its block\n" % n for n in range(40_000)),
        "noise": bytes(n * n * 7919 % 251 ^ n % 256 for n in range(300_000)),
        "zeros": bytes(1 << 20),
        "block": b"x" * 4096,
        "more": b"y" * 4097,
    }
    for name, data in write.items():
        (tree / name).write_bytes(data)
        (tree / name).chmod(0o644)
    (tree / "bin").symlink_to("usr/lib")
    (tree / "etc/systemd/system/masked.service").symlink_to("/dev/null")
    wants = tree / "etc/systemd/system/multi-user.target.wants/fw.service"
    wants.symlink_to("/usr/lib/systemd/system/fw.service")
    (tree / "etc/systemd/system/fw.service.d").mkdir()
    (tree / "etc/systemd/system/fw.service.d/10-more.conf").write_bytes(b"[Service]\nUser=x\n")
    (tree / "many").mkdir()
    for number in range(700):
        (tree / f"many/a file with a long name, number {number}").write_bytes(b"%d" % number)
    for path in (tree, *tree.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    return tree


def make(
    image: Path, tools: Path, tree: Path, *, seed: str = "5" * 64, initrd: tuple[Entry, ...] = INITRD, words: str = ""
) -> Path:
    """Make an image folder of a tree; ``words`` are more of the command line."""
    image.mkdir()
    workshop = Workshop(tools, image, EPOCH, seed)
    root = make_filesystem(workshop, tree, "root", compressed=True)
    model_tree = image / "model.tree"
    (model_tree / "m").mkdir(parents=True)
    (model_tree / "m/model.gguf").write_bytes(b"weights" * 5000)
    model = make_filesystem(workshop, model_tree, "model", compressed=False)
    cmdline = " ".join(("quiet", *filter(None, (words,)), root.option("root"), model.option("model")))
    packed = workshop.run(["zstd", "-12", "-T1", "--quiet", "--stdout"], what="packing", stdin=write_cpio(initrd))
    uki = uki_image(cmdline=cmdline.encode(), initrd=packed)
    (image / "uki.efi").write_bytes(uki)
    (image / "esp").write_bytes(bytes(1024) + uki)
    _disk(image, "boot.raw", {"vitrine-esp": "esp", "vitrine-root": "root.erofs", "vitrine-root-verity": "root.verity"})
    _disk(image, "model.raw", {"vitrine-model": "model.erofs", "vitrine-model-verity": "model.verity"})
    for path in image.iterdir():
        if path.name not in {"uki.efi", "boot.raw", "model.raw"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return image


def _disk(image: Path, name: str, parts: dict[str, str]) -> None:
    ids = (f"11111111-2222-3333-4444-{number:012}" for number in range(9))
    partitions = [disk.Partition(part, disk.DATA_TYPE, next(ids), image / where) for part, where in parts.items()]
    disk.write_disk(image / name, next(ids), partitions)
