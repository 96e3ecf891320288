"""Which files a rebuild needs besides the checkout: Debian packages, wheels and models' files, each by its hash.

What is needed, the checkout's own locks and the recipe say; the archive only has to have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from client_sdk.manifest import Manifest, Package
from provisioner.errors import BakeError
from provisioner.image.artefacts import named_packages
from provisioner.image.debs import differences, drift_name
from provisioner.image.packages import EVERY_BAKE, LOCK_FILE, TREES, PackageLock, parse_lock
from provisioner.image.recipe import Recipe
from provisioner.image.vllm_wheels import LOCK_FILE as CLOSURE
from provisioner.image.vllm_wheels import closure_digest, parse_closure
from provisioner.image.wheels import WHEELS_FILE, parse_wheels

DATA = "provisioner/image/data"


@dataclass(frozen=True, slots=True)
class Needed:
    """One file: its place in the archive, which is also its place in a bake's cache, and its contents by hash.

    Of a model's file ``model`` is which one's, and ``inner`` the path in its folder.
    """

    path: str
    sha256: str
    what: str
    model: str = ""
    inner: str = ""


@dataclass(frozen=True, slots=True)
class Materials:
    """All that a rebuild needs: ``followed`` is the lock that a test bake took instead of the checkout's, if it did.

    ``drift`` says which packages are others by it. Only the archive has such a lock: no checkout vouches for them.
    ``differing`` are packages of which the lock that is taken and the manifest say different things.
    """

    lock: PackageLock
    files: tuple[Needed, ...]
    followed: str = ""
    drift: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


def materials(source: Path, recipe: Recipe, manifest: Manifest, archive: Path) -> Materials:
    """Say what a rebuild of this image from this checkout needs.

    Raises:
        BakeError: a lock or the recipe is malformed.
    """
    shipped = parse_lock(_read(source, f"{DATA}/{LOCK_FILE}"))
    lock, followed = shipped, ""
    gpus = _told(recipe, "attester_gpus", 0) not in (0, "0")
    path = archive / "debs" / drift_name(shipped)
    if differing(shipped, manifest, gpus=gpus) and path.is_file():
        lock, followed = parse_lock(path.read_bytes()), path.name
    trees = TREES if gpus else EVERY_BAKE
    files = [Needed(f"debs/{p.sha256}.deb", p.sha256, f"{p.name} {p.version}") for p in lock.files(trees)]
    wheels = parse_wheels(_read(source, f"{DATA}/{WHEELS_FILE}"))
    files += [Needed(f"wheels/{w.sha256}/{w.filename}", w.sha256, f"{w.name} {w.version}") for w in wheels]
    if gpus:
        pins = parse_closure(_read(source, CLOSURE).decode())
        folder = f"closure/{closure_digest(pins)}"
        files += [Needed(f"{folder}/{pin.filename}", pin.sha256, f"{pin.name} {pin.version}") for pin in pins]
    unlike = differing(lock, manifest, gpus=gpus)
    return Materials(lock, (*files, *_weights(recipe)), followed, differences(shipped, lock), unlike)


def differing(lock: PackageLock, manifest: Manifest, *, gpus: bool) -> tuple[str, ...]:
    """Name the packages of which a lock and a manifest say different things; of a driver those of ``gpus`` as well."""
    named = _by_use(manifest.packages, manifest.tools)
    locked = _by_use(*named_packages(lock, gpus=gpus))
    return tuple(
        f"{name} ({use}): the lock says {_version(locked.get((use, name)))}, "
        f"the manifest {_version(named.get((use, name)))}"
        for use, name in sorted(named.keys() | locked.keys())
        if locked.get((use, name)) != named.get((use, name))
    )


def _by_use(packages: tuple[Package, ...], tools: tuple[Package, ...]) -> dict[tuple[str, str], tuple[str, str]]:
    both = (("image", packages), ("tools", tools))
    return {(use, p.name): (p.version, p.sha256.hex()) for use, rows in both for p in rows}


def _version(told: tuple[str, str] | None) -> str:
    return "nothing" if told is None else f"{told[0]} {told[1][:12]}…"


def models_entries(recipe: Recipe) -> tuple[dict[str, Any], ...]:
    """Return the entries of the models whose files are no wheel's.

    Raises:
        BakeError: they are malformed.
    """
    entries = _told(recipe, "engine_weights", [])
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("files"), dict) for e in entries
    ):
        raise BakeError("recipe.json: engine_weights: expected entries with files")
    return tuple(entries)


def _weights(recipe: Recipe) -> Iterator[Needed]:
    for entry in models_entries(recipe):
        for path, digest in entry["files"].items():
            inner = PurePosixPath(str(path))
            if inner.is_absolute() or ".." in inner.parts or not _is_digest(digest):
                raise BakeError(f"recipe.json: engine_weights: {path!r} is no file of a model by its SHA-256")
            model = str(entry.get("name"))
            yield Needed(f"weights/{digest}", digest, f"{model}: {path}", model, str(path))


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _told(recipe: Recipe, name: str, default: Any) -> Any:
    return recipe.variables().get(name, default)


def _read(source: Path, name: str) -> bytes:
    try:
        return (source / name).read_bytes()
    except OSError as error:
        raise BakeError(f"{source} is no checkout of ours: {name}: {error.strerror}") from error
