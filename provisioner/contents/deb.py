"""A Debian package beside an image: which of its files are in there, unchanged or not."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from provisioner.contents.entry import Part, PartName
from provisioner.errors import BakeError, Fault, NotInImageError, SpecError
from provisioner.image.files import require_sha256

LIMIT = 8 << 30
"""Bytes of a package's files, all together: the libraries of a GPU's driver are the largest, with some 2 GiB."""
_BLOCK = 1 << 20


class Fate(StrEnum):
    """What became of a file of a package in an image."""

    SAME = "same"
    CHANGED = "changed"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Held:
    """A file or link of a package, and what became of it in which part of the image."""

    path: str
    state: Fate
    part: PartName


def compare_deb(deb: Path, sha256: str, root: Part, initrd: Part) -> Iterator[Held]:
    """Yield the files and links of a package in its order; in the initrd they have other places, so contents count.

    Raises:
        SpecError: there is no program dpkg-deb.
        BakeError: it is another file than the manifest names, or cannot be unpacked.
    """
    require_sha256(deb, sha256, deb.name, by="the manifest")
    packed = {hashlib.sha256(entry.read()).digest() for entry in initrd.walk() if entry.is_file and entry.size}
    with _unpacked(deb) as archive:
        for member in archive:
            if not (member.isreg() or member.issym() or member.islnk()):
                continue
            path = "/" + member.name.removeprefix(".").strip("/")
            if member.issparse():  # a few bytes that say they are as many as they like; dpkg-deb packs none
                raise BakeError(f"{deb.name} holds a sparse file, {path}, as no package of Debian's does")
            data = _contents(archive, member)
            fate = _fate(root, path, member, data)
            if fate is not Fate.SAME and member.isreg() and hashlib.sha256(data).digest() in packed:
                yield Held(path, Fate.SAME, PartName.INITRD)
            else:
                yield Held(path, fate, PartName.ROOT)


def _fate(root: Part, path: str, member: tarfile.TarInfo, data: bytes) -> Fate:
    try:
        entry = root.find(path)
    except NotInImageError:
        return Fate.ABSENT
    if member.islnk():
        return Fate.SAME if entry.is_file else Fate.CHANGED
    kind = entry.is_link if member.issym() else entry.is_file
    return Fate.SAME if kind and entry.size == len(data) and entry.read() == data else Fate.CHANGED


def _contents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not member.isreg():
        return member.linkname.encode()
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


@contextmanager
def _unpacked(deb: Path) -> Iterator[tarfile.TarFile]:
    """Give the files of a package as a stream, by the program dpkg-deb."""
    with tempfile.TemporaryFile() as unpacked:
        try:
            words = ["dpkg-deb", "--fsys-tarfile", str(deb)]
            program = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise SpecError((Fault("dpkg-deb", "the program, of the package dpkg: install it", "none"),)) from error
        with program:
            assert program.stdout is not None  # noqa: S101 - it is a pipe, as asked for
            while block := program.stdout.read(_BLOCK):
                if unpacked.tell() + len(block) > LIMIT:
                    program.kill()
                    raise BakeError(f"{deb.name} unpacks to more than {LIMIT} bytes")
                unpacked.write(block)
        if program.returncode:
            raise BakeError(f"{deb.name} is not what dpkg-deb unpacks")
        unpacked.seek(0)
        try:
            with tarfile.open(fileobj=unpacked, mode="r:") as archive:
                yield archive
        except tarfile.TarError as error:
            raise BakeError(f"{deb.name} holds no files that can be read: {error}") from error
