"""What auditors rebuild an image from, published beside its release: the archive that ``vitrine image archive`` makes.

Each release has one under its number. On one disk a file that several of them have, or the bake's cache, is there once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from client_sdk.encoding import from_hex, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, mapping, version
from provisioner.audit.archive import INDEX, VERSION
from provisioner.errors import Fault, ReleaseError
from provisioner.image.files import sha256_of, share
from provisioner.image.shelf import make_once
from provisioner.releases.files import read_file

ARCHIVES = "archives"
_MAX_INDEX = 64 << 20
_KEYS = frozenset({"version", "manifest_sha256", "files"})
_REMEDY = "make it anew: vitrine image archive IMAGE --output DIR, into a folder that is not there yet"


def publish_archive(archive: Path, manifest_sha256: bytes, root: Path, number: int) -> int:
    """Put an archive beside the releases, whole or not at all; return how many files it has.

    Raises:
        SpecError: it is none.
        ReleaseError: it is of another image, or a file in it is not the one that its index names.
        BakeError: it cannot be written.
    """
    index = _bytes_of(archive / INDEX)
    files = dict(_read(archive / INDEX, index, manifest_sha256))

    def make(folder: Path) -> None:
        for name, digest in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            share(archive / name, folder / name)
            found = sha256_of(folder / name)
            if found != digest:
                raise _refused(archive / name, f"the SHA-256 {digest}, which {INDEX} names", found)
        (folder / INDEX).write_bytes(index)
        folder.chmod(0o755)

    target = root / ARCHIVES / str(number)
    make_once(target, INDEX, make, what="publishing the archive")
    if (target / INDEX).read_bytes() != index:
        raise _refused(target, "the same archive, where one is published already", "another one")
    return len(files)


def _bytes_of(path: Path) -> bytes:
    return read_file(path, f"the index of an archive; {_REMEDY}", limit=_MAX_INDEX)


def _read(path: Path, data: bytes, manifest_sha256: bytes) -> Iterator[tuple[str, str]]:
    """Yield path and digest of every file that an archive's index names."""
    try:
        index = _index(data)
        if index["manifest_sha256"] != manifest_sha256.hex():
            raise _refused(path, f"the archive of the manifest {manifest_sha256.hex()}", str(index["manifest_sha256"]))
        for name, told in mapping(index["files"], "$.files").items():
            yield _inside(name), from_hex(told.get("sha256"), f"$.files.{name}.sha256", size=32).hex()
    except (EvidenceError, AttributeError) as error:
        raise _refused(path, "the index of an archive", str(error)) from error


def _index(data: bytes) -> dict[str, Any]:
    index = exact_keys(strict_json(data, limit=_MAX_INDEX), _KEYS, "$")
    version(index["version"], "$.version", VERSION)
    return index


def _inside(name: str) -> str:
    """Refuse a name that leads out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or name in {"", ".", INDEX} or "\0" in name:
        raise EvidenceError("$.files", f"{name[:200]!r} is no path inside the archive")
    return name


def _refused(path: Path, expected: str, got: str) -> ReleaseError:
    return ReleaseError((Fault(str(path), expected, got),), _REMEDY)
