"""What an image was made of, kept beside its release by digest: an auditor rebuilds from it when mirrors have moved on.

The archive is laid out as a bake's cache is (``debs/<SHA-256>.deb``, ``wheels/<SHA-256>/<file>.whl``, and for files of
models ``weights/<SHA-256>``), so a bake that is given a copy of it downloads none of them. What several releases name
is there once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client_sdk.manifest import Manifest
from provisioner.errors import Fault, ReleaseError
from provisioner.image.files import sha256_of

ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Archived:
    """How many files an image was made of, how many of them were new to the archive, and those that nobody has."""

    files: int
    new: int
    missing: tuple[str, ...]


def archive(manifest: Manifest, cache: Path, root: Path) -> Archived:
    """Copy what the manifest names from a bake's cache into the archive.

    Raises:
        ReleaseError: a file in the cache or in the archive is not what its name says.
        OSError: a file cannot be written; what was begun is not taken for whole.
    """
    files = new = 0
    missing = []
    for digest, name, places in wanted(manifest):
        found = _find(root / ARCHIVE, places)
        if found is None:
            source = _find(cache, places)
            if source is None:
                missing.append(name)
                continue
            found = root / ARCHIVE / source.relative_to(cache)
            _copy(source, found, digest)
            new += 1
        else:
            _require(found, digest)
        files += 1
    return Archived(files, new, tuple(missing))


def wanted(manifest: Manifest) -> Iterator[tuple[bytes, str, tuple[str, ...]]]:
    """Yield every file: its digest, its name for people, and the patterns of where a cache may have it."""
    for package in dict.fromkeys((*manifest.packages, *manifest.tools)):
        where = f"debs/{package.sha256.hex()}.deb"
        # What a tools tree has of Python comes as a wheel.
        yield package.sha256, f"{package.name} {package.version}", (where, _wheel(package.sha256))
    for wheel in manifest.wheels:
        yield wheel.sha256, f"{wheel.name} {wheel.version}", (_wheel(wheel.sha256),)
    for model in manifest.models:
        for path, digest in model.files:
            places = (f"weights/{digest.hex()}", f"weights/{digest.hex()}/*")
            yield digest, f"{model.name} {path}", places


def _wheel(digest: bytes) -> str:
    return f"wheels/{digest.hex()}/*.whl"


def _find(folder: Path, places: tuple[str, ...]) -> Path | None:
    found = (path for place in places for path in sorted(folder.glob(place)) if path.is_file())
    return next(found, None)


def _copy(source: Path, target: Path, digest: bytes) -> None:
    """Copy a file whole or not at all; where the disk is the same, it is the same file under another name."""
    _require(source, digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    beside.unlink(missing_ok=True)
    try:
        try:
            os.link(source, beside)
        except OSError:
            shutil.copyfile(source, beside)
            _require(beside, digest)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _require(path: Path, digest: bytes) -> None:
    found = sha256_of(path)
    if found != digest.hex():
        remedy = "delete that file: a bake downloads it again, and publishing copies it again"
        raise ReleaseError((Fault(str(path), f"the SHA-256 {digest.hex()}, which the manifest names", found),), remedy)
