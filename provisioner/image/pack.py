"""A configured tree becomes an image: root file system, hash trees, command line, initrd, UKI, disks, manifest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from client_sdk.encoding import canonical_json
from provisioner.image import disk, process, uki
from provisioner.image.artefacts import (
    ARTEFACTS,
    FILES,
    BakedImage,
    Facts,
    Service,
    find_image,
    open_image,
    write_artefacts,
    write_manifest,
)
from provisioner.image.bytecode import compile_tree
from provisioner.image.cmdline import fixed_options, make_cmdline
from provisioner.image.esp import make_esp
from provisioner.image.files import share
from provisioner.image.filesystem import Verity, make_filesystem
from provisioner.image.initrd import make_initrd
from provisioner.image.materials import distribution, find_debs, find_wheels
from provisioner.image.model import ModelDisk, obtain_model
from provisioner.image.modules import strip_root_modules
from provisioner.image.normalise import DEBUG_MARK, normalise
from provisioner.image.recipe import RECIPE
from provisioner.image.rootfs import Rootfs, kernel_release
from provisioner.image.sbom import SBOM, Materials, serialise
from provisioner.image.shelf import make_once
from provisioner.image.sources import Sources
from provisioner.image.vllm_wheels import Pin
from provisioner.image.weights import Weights
from provisioner.image.wheels import shipped_wheels
from provisioner.image.workshop import Workshop
from provisioner.progress import Progress

__all__ = ["BakedImage", "PackSpec", "find_image", "pack"]

MODEL_MOUNT = "/usr/share/vitrine/model"
COMMAND_LINE = "usr/lib/vitrine/command-line"
_KEPT = frozenset(FILES.values())


@dataclass(frozen=True, slots=True)
class PackSpec:
    """Where the image goes (its final folder), what its identifiers derive from, and what the manifest shall name.

    ``contents`` are digests of what the roles put in, by source path. ``recipe`` is what the image was asked to be.
    """

    output: Path
    seed: str
    sources: Sources
    service: Service
    weights: tuple[Weights, ...]
    contents: Mapping[str, str] = field(default_factory=dict)
    source_commit: str = ""
    token_issuer_key: str = ""
    gpu_wheels: tuple[Pin, ...] = ()
    recipe: bytes = b""


def pack(rootfs: Rootfs, spec: PackSpec, *, progress: Progress) -> BakedImage:
    """Pack a configured, clean tree into the image folder ``spec.output``; a complete image there is returned as it is.

    The tree is changed in place, which is why it cannot be configured any further.

    Raises:
        BakeError: a tool fails, something is missing or the disk is full; nothing half-made is left.
    """
    if found := find_image(spec.output):
        progress(f"{spec.output} is complete already")
        return found
    shutil.rmtree(spec.output, ignore_errors=True)

    def make(folder: Path) -> None:
        with process.fixed_umask():
            _pack_into(folder, rootfs, spec, progress=progress)

    make_once(spec.output, ARTEFACTS, make, what="packing the image")
    return open_image(spec.output)


def _pack_into(folder: Path, rootfs: Rootfs, spec: PackSpec, *, progress: Progress) -> None:
    workshop = Workshop(rootfs.tools.tree, folder, rootfs.epoch, _seed(rootfs, spec))
    model = obtain_model(spec.weights, rootfs.tools, rootfs.epoch, spec.sources, progress=progress)
    root = _make_root(workshop, rootfs, progress=progress)
    cmdline = make_cmdline(root, model.verity, gpus=rootfs.gpus, debug=spec.sources.mode == "debug")
    release = kernel_release(rootfs.tree)
    progress("building initrd and UKI")
    initrd = make_initrd(workshop, rootfs.base.tree, release, cmdline)
    linux = rootfs.base.kernel.read_bytes()
    osrel = (rootfs.tree / "usr/lib/os-release").read_bytes()
    image, stub = uki.make_uki(workshop, uki.Parts(osrel, cmdline.encode(), release.encode(), initrd, linux))
    (folder / "cmdline").write_text(cmdline)
    (folder / "initrd").write_bytes(initrd)
    (folder / "linux").write_bytes(linux)
    progress(f"writing the disks (UKI {len(image) / 1e6:.1f} MB)")
    _write_boot_disk(workshop)
    share(model.path, folder / "model.raw")
    _tidy(folder)
    progress("writing the bill of materials")
    (folder / SBOM).write_bytes(serialise(_materials(workshop, rootfs, spec, root)))
    write_manifest(folder, _facts(rootfs, spec, release, (root, model, stub)))
    (folder / RECIPE).write_bytes(spec.recipe)
    write_artefacts(folder, spec.service, root, model.verity)
    for path in folder.iterdir():
        path.chmod(0o644)
    folder.chmod(0o755)


def _seed(rootfs: Rootfs, spec: PackSpec) -> str:
    parts = {"seed": spec.seed, "base": rootfs.base.key, "tools": rootfs.tools.key}
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def _make_root(workshop: Workshop, rootfs: Rootfs, *, progress: Progress) -> Verity:
    # What the self-check compares the command line with.
    words = rootfs.tree / COMMAND_LINE
    words.parent.mkdir(parents=True, exist_ok=True)
    words.write_text("\n".join(fixed_options(rootfs.gpus, debug=(rootfs.tree / DEBUG_MARK).exists())) + "\n")
    normalise(rootfs.tree, rootfs.epoch, (MODEL_MOUNT,))
    # The initrd carries its own; no other module is ever loaded, but by who tries things out on a debug image.
    if not (rootfs.tree / DEBUG_MARK).exists():
        strip_root_modules(rootfs.tree, kernel_release(rootfs.tree), crypto=rootfs.gpus > 0)
    progress(f"byte code: {compile_tree(rootfs.tree)} files compiled anew")
    progress("packing the root file system")
    return make_filesystem(workshop, rootfs.tree, "root", compressed=True)


def _write_boot_disk(workshop: Workshop) -> None:
    folder = workshop.folder
    esp = make_esp(workshop, folder / "uki.efi")
    contents = (
        ("vitrine-esp", disk.ESP_TYPE, esp),
        ("vitrine-root", disk.DATA_TYPE, folder / "root.erofs"),
        ("vitrine-root-verity", disk.DATA_TYPE, folder / "root.verity"),
    )
    partitions = [disk.Partition(n, t, workshop.uuid_for(f"{n}-partition"), path) for n, t, path in contents]
    disk.write_disk(folder / "boot.raw", workshop.uuid_for("boot-disk"), partitions)


def _materials(workshop: Workshop, rootfs: Rootfs, spec: PackSpec, root: Verity) -> Materials:
    return Materials(
        key=spec.seed,
        serial=workshop.uuid_for("sbom"),
        epoch=rootfs.epoch,
        suite=rootfs.lock.suite,
        distribution=distribution(rootfs.tree),
        root_hash=root.hash,
        debs=find_debs(rootfs, spec.sources.cache),
        wheels=find_wheels(rootfs.tree, shipped_wheels(), spec.gpu_wheels),
        weights=spec.weights,
        files=spec.contents,
        source_commit=spec.source_commit,
    )


def _facts(rootfs: Rootfs, spec: PackSpec, release: str, made: tuple[Verity, ModelDisk, bytes]) -> Facts:
    root, model, stub = made
    return Facts(
        lock=rootfs.lock,
        wheels=shipped_wheels(),
        gpu_wheels=spec.gpu_wheels,
        contents=spec.contents,
        kernel=release,
        root=root,
        model=model.verity,
        weights=spec.weights,
        stub=stub,
        source_commit=spec.source_commit,
        token_issuer_key=spec.token_issuer_key,
    )


def _tidy(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            path.rmdir()
        elif path.name not in _KEPT:
            path.unlink()
