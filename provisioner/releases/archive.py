"""What auditors rebuild an image from, published beside its release: the archive that ``vitrine image archive`` makes.

Each release has one under its number. On one disk a file that several of them have, or the bake's cache, is there once.
"""

from __future__ import annotations

from pathlib import Path

from provisioner.audit.index import INDEX, MAX_INDEX, Archived, read_index
from provisioner.errors import BakeError, Fault, ReleaseError
from provisioner.image.files import sha256_of, share
from provisioner.image.shelf import make_once
from provisioner.releases.files import read_file, reason

ARCHIVES = "archives"
_REMEDY = "make it anew: vitrine image archive IMAGE --output DIR, into a folder that is not there yet"


def publish_archive(archive: Path, manifest_sha256: bytes, root: Path, number: int) -> int:
    """Put an archive beside the releases, whole or not at all; return how many files it has.

    Raises:
        SpecError: it is none.
        ReleaseError: it is of another image, or a file in it is none, or not the one that its index names.
        BakeError: it cannot be written.
    """
    _require_plain(archive / INDEX)
    index = read_file(archive / INDEX, f"the index of an archive; {_REMEDY}", limit=MAX_INDEX)
    files = _read(archive / INDEX, index, manifest_sha256)

    def make(folder: Path) -> None:
        for one in files:
            _require_plain(archive / one.path)
            (folder / one.path).parent.mkdir(parents=True, exist_ok=True)
            share(archive / one.path, folder / one.path)
            found = sha256_of(folder / one.path)
            if found != one.sha256:
                raise _refused(archive / one.path, f"the SHA-256 {one.sha256}, which {INDEX} names", found)
        (folder / INDEX).write_bytes(index)
        folder.chmod(0o755)

    target = root / ARCHIVES / str(number)
    make_once(target, INDEX, make, what="publishing the archive")
    if (target / INDEX).read_bytes() != index:
        raise _refused(target, "the same archive, where one is published already", "another one")
    return len(files)


def _require_plain(path: Path) -> None:
    """Refuse a link, which leads elsewhere on each machine, and a pipe, which whoever reads it waits for."""
    if got := _instead(path):
        raise _refused(path, "a file of its own", got)


def _instead(path: Path) -> str | None:
    """Return what there is in place of a file; None of a file, and of nothing, which whoever reads it is told."""
    try:
        if path.is_symlink():
            return "a link"
        if path.exists() and not path.is_file():
            return "a folder" if path.is_dir() else "a pipe or a device"
    except OSError as error:
        return reason(error)
    return None


def _read(path: Path, data: bytes, manifest_sha256: bytes) -> tuple[Archived, ...]:
    """Return every file that an archive's index names, where it is of this manifest."""
    try:
        index = read_index(data)
    except BakeError as error:
        raise _refused(path, "the index of an archive", str(error)) from error
    if index.manifest_sha256 != manifest_sha256:
        expected = f"the archive of the manifest {manifest_sha256.hex()}"
        raise _refused(path, expected, index.manifest_sha256.hex())
    return index.files


def _refused(path: Path, expected: str, got: str) -> ReleaseError:
    return ReleaseError((Fault(str(path), expected, got),), _REMEDY)
