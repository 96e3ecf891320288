"""What a finished image folder holds: its files, artefacts.json (how to open it) and manifest.json (what is inside)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client_sdk.manifest import Boot, Manifest, Model, Package, Verity
from provisioner.errors import BakeError
from provisioner.image import filesystem
from provisioner.image.files import sha256_of
from provisioner.image.packages import PackageLock, Tree
from provisioner.image.sbom import SBOM
from provisioner.image.vllm_wheels import Pin
from provisioner.image.weights import Weights
from provisioner.image.wheels import Wheel
from provisioner.measure.pe import authenticode, parse_image

FILES = {
    "uki": "uki.efi",
    "boot_disk": "boot.raw",
    "model_disk": "model.raw",
    "linux": "linux",
    "initrd": "initrd",
    "cmdline": "cmdline",
    "sbom": SBOM,
}
ARTEFACTS = "artefacts.json"
MANIFEST = "manifest.json"
VERSION = 4


@dataclass(frozen=True, slots=True)
class Service:
    """What the roles made of the image, as far as others must know it: the port that listens inside."""

    port: int


@dataclass(frozen=True, slots=True)
class BakedImage:
    """A complete image folder."""

    path: Path
    artefacts: Mapping[str, Any]
    service: Service

    @property
    def boot_disk(self) -> Path:
        """The disk with the UKI and the root."""
        return self.path / FILES["boot_disk"]

    @property
    def model_disk(self) -> Path:
        """The disk with the model."""
        return self.path / FILES["model_disk"]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the manifest says, as the packing found it."""

    lock: PackageLock
    wheels: tuple[Wheel, ...]
    contents: Mapping[str, str]
    kernel: str
    root: filesystem.Verity
    model: filesystem.Verity
    weights: tuple[Weights, ...]
    stub: bytes
    source_commit: str
    token_issuer_key: str
    gpu_wheels: tuple[Pin, ...] = ()


def find_image(path: Path) -> BakedImage | None:
    """Return the complete image in a folder, else None.

    Says nothing about its bytes: ``check_image`` does.
    """
    try:
        artefacts = json.loads((path / ARTEFACTS).read_bytes())
        known = artefacts["version"] == VERSION and all((path / name).is_file() for name in (*FILES.values(), MANIFEST))
        return BakedImage(path, artefacts, Service(**artefacts["service"])) if known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_image(path: Path) -> BakedImage:
    """Return the complete image in a folder.

    Says nothing about its bytes: ``check_image`` does.

    Raises:
        BakeError: there is none.
    """
    image = find_image(path)
    if image is None:
        raise BakeError(f"there is no complete image in {path}; bake it first (`make bake`)")
    return image


def check_image(image: BakedImage) -> None:
    """Check every file of an image against its artefacts.json, which is not signed: it tells damage, not malice.

    Raises:
        BakeError: files were changed since they were made; it names them.
    """
    expected = image.artefacts["sha256"]
    changed = [name for name in expected if sha256_of(image.path / name) != expected[name]]
    if changed:
        raise BakeError(
            f"{image.path}: changed since it was baked: {', '.join(changed)}; delete the folder, bake again"
        )


def write_artefacts(folder: Path, service: Service, root: filesystem.Verity, model: filesystem.Verity) -> None:
    """Write artefacts.json over the files in a folder, the manifest among them."""
    artefacts = {
        "version": VERSION,
        **FILES,
        "service": asdict(service),
        "root": root.as_json(),
        "model": model.as_json(),
        "sha256": {name: sha256_of(folder / name) for name in sorted((*FILES.values(), MANIFEST))},
    }
    (folder / ARTEFACTS).write_text(json.dumps(artefacts, indent=1, sort_keys=True) + "\n")


def write_manifest(folder: Path, facts: Facts) -> None:
    """Write manifest.json: what is inside, in the form that the release names by digest."""
    uki = (folder / FILES["uki"]).read_bytes()
    boot = Boot(
        uki_sha256=hashlib.sha256(uki).digest(),
        uki_authenticode=authenticode(parse_image(FILES["uki"], uki)),
        stub_sha256=hashlib.sha256(facts.stub).digest(),
        linux_sha256=bytes.fromhex(sha256_of(folder / FILES["linux"])),
        initrd_sha256=bytes.fromhex(sha256_of(folder / FILES["initrd"])),
        cmdline=(folder / FILES["cmdline"]).read_text("ascii"),
    )
    packages, tools = named_packages(facts.lock, gpus=bool(facts.gpu_wheels))
    manifest = Manifest(
        packages=packages,
        files=_digests({**facts.contents, SBOM: sha256_of(folder / SBOM)}),
        tools=tools,
        kernel=facts.kernel,
        boot=boot,
        root=_verity(facts.root),
        models=tuple(_model(weights) for weights in facts.weights),
        model_disk=_verity(facts.model),
        wheels=tuple(Package(w.name, w.version, bytes.fromhex(w.sha256)) for w in facts.wheels if w.use == "image")
        + tuple(Package(pin.name, pin.version, bytes.fromhex(pin.sha256)) for pin in facts.gpu_wheels),
        token_issuer_key=facts.token_issuer_key,
        source_commit=facts.source_commit,
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())


def named_packages(lock: PackageLock, *, gpus: bool) -> tuple[tuple[Package, ...], tuple[Package, ...]]:
    """Return which of a lock's packages a manifest names: those that something in the image is of, and the tools."""
    packages, tools = _packages(lock.image), _packages(lock.tools)
    return (packages + _driver(lock.driver), tools + _compiler(lock)) if gpus else (packages, tools)


def _packages(tree: Tree) -> tuple[Package, ...]:
    return tuple(Package(p.name, p.version, bytes.fromhex(p.sha256)) for p in tree.packages)


def _driver(tree: Tree) -> tuple[Package, ...]:
    """Name what the driver in the image comes from: source, firmware, libraries, the kernel's headers."""
    return tuple(found for found in _packages(tree) if found.name in tree.unpacked)


def _compiler(lock: PackageLock) -> tuple[Package, ...]:
    """Name what the driver was built with, as far as the tools tree has it not."""
    known = {package.name for package in lock.tools.packages} | set(lock.driver.unpacked)
    return tuple(found for found in _packages(lock.driver) if found.name not in known)


def _digests(digests: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, bytes.fromhex(digests[name])) for name in sorted(digests))


def _verity(verity: filesystem.Verity) -> Verity:
    return Verity(
        root_hash=bytes.fromhex(verity.hash),
        salt=bytes.fromhex(verity.salt),
        data_blocks=verity.data_blocks,
        uuid=verity.uuid,
    )


def _model(weights: Weights) -> Model:
    return Model(
        name=weights.name,
        engine=weights.engine,
        repository=weights.repository,
        revision=weights.revision,
        files=_digests(dict(weights.files)),
    )
