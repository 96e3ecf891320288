"""A disk as Compute Engine imports it: ``disk.raw`` in a tar of the old GNU form, gzipped, a whole number of GiB.

The same disk makes the same bytes with the same zlib, so that an interrupted upload can go on.
Source: https://cloud.google.com/compute/docs/import/import-existing-image
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from provisioner.errors import CloudError
from provisioner.progress import Progress, paced

GIB = 1 << 30
_LEVEL = 1  # a disk of a model hardly shrinks at any
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """A complete archive: where, how long, and its MD5 as Cloud Storage writes it, which tells damage only."""

    path: Path
    size: int
    md5: str


class _Padded:
    """Reads a file, and zeros behind it up to a size; says now and then which file it is still at."""

    def __init__(self, file: BinaryIO, size: int, *, progress: Progress) -> None:
        self._file, self._size, self._told = file, size, paced(progress)
        self._at = 0

    def read(self, count: int) -> bytes:
        data = self._file.read(count)
        data += bytes(count - len(data))
        self._at += len(data)
        self._told(f"{Path(self._file.name).name}: packs {self._at // GIB} of {self._size // GIB} GiB")
        return data


def pack(disk: Path, target: Path, *, progress: Progress) -> Archive:
    """Return the archive of a disk, made unless it is there; it is renamed to its place when complete.

    Raises:
        CloudError: the disk cannot be read, or the archive not be written.
    """
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.new")
            _write(disk, temporary, progress=progress)
            temporary.replace(target)
        return Archive(target, target.stat().st_size, _md5(target))
    except OSError as error:
        raise CloudError(f"cannot pack {disk} into {target}: {error}; bake first, and check the disk's room") from error


def _write(disk: Path, target: Path, *, progress: Progress) -> None:
    size = -(-max(disk.stat().st_size, 1) // GIB) * GIB
    member = tarfile.TarInfo("disk.raw")
    member.size, member.mode = size, 0o644
    with (
        disk.open("rb") as source,
        target.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        tar.addfile(member, _Padded(source, size, progress=progress))  # type: ignore[arg-type]  # it only reads


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()
