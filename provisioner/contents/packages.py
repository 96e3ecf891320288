"""The packages of an image: what manifest and bill of materials say of each, and what became of the files of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk.errors import EvidenceError
from client_sdk.manifest import MAX_SIZE, Manifest, digest
from provisioner.contents.bill import Bill, Listed, read_bill
from provisioner.contents.deb import Held, compare_deb
from provisioner.contents.entry import PartName
from provisioner.contents.image import Contents
from provisioner.errors import BakeError, Fault, SpecError
from provisioner.image.artefacts import MANIFEST
from provisioner.image.files import read_limited, sha256_of


@dataclass(frozen=True, slots=True)
class Packaged:
    """A package by name, version and digest; ``listed`` is what the bill says of one of Debian's, None of a wheel."""

    name: str
    version: str
    sha256: str
    listed: Listed | None

    @property
    def where(self) -> tuple[str, ...]:
        """In which parts its files are."""
        return (PartName.ROOT,) if self.listed is None else self.listed.where

    def as_dict(self) -> dict[str, Any]:
        """Return it for a program."""
        told = {"name": self.name, "version": self.version, "sha256": self.sha256, "where": list(self.where)}
        if self.listed is None:
            return told
        source = f"{self.listed.source} {self.listed.source_version}"
        return told | {"source": source, "files_in_root": self.listed.files}

    def line(self) -> str:
        """Return it for a person."""
        count = None if self.listed is None else self.listed.files
        left = "" if count is None else f", {count} files in the root"
        return f"{self.sha256}  {self.name} {self.version} ({' '.join(self.where)}{left})"


@dataclass(frozen=True, slots=True)
class Packages:
    """All packages of an image, the manifest that names them, and the bill of materials that it names."""

    all: tuple[Packaged, ...]
    manifest: Manifest
    manifest_sha256: bytes
    bill: Bill


def read_packages(folder: Path) -> Packages:
    """Read the packages of an image's folder.

    Raises:
        BakeError: manifest or bill are missing, malformed, or do not go together.
    """
    try:
        data = read_limited(folder / MANIFEST, MAX_SIZE)
        manifest = Manifest.from_json(data)
    except OSError as error:
        raise BakeError(f"cannot read {error.filename}: {error.strerror}") from error
    except EvidenceError as error:
        raise BakeError(f"{folder / MANIFEST}: {error}") from error
    bill = read_bill(folder)
    return Packages(tuple(_together(manifest, bill)), manifest, digest(data), bill)


def files_of(package: Packaged, contents: Contents, archive: Path) -> tuple[Held, ...]:
    """Say what became of each file of a package, as an archive has it.

    Raises:
        SpecError: it is a wheel, or the archive has it not.
        BakeError: the image cannot be read.
    """
    deb = archive / "debs" / f"{package.sha256}.deb"
    if package.listed is None:
        expected = "one of Debian's packages: of these alone files are compared; or leave --archive out"
        raise SpecError((Fault("PACKAGE", expected, f"{package.name}, a wheel"),))
    if not deb.is_file() or sha256_of(deb) != package.sha256:
        expected = f"the archive of this image, which has {package.name}: make it anew with `vitrine image archive`"
        raise SpecError((Fault("--archive", expected, f"{archive}, without the very debs/{deb.name}"),))
    root, initrd = contents.part(PartName.ROOT), contents.part(PartName.INITRD)
    return tuple(compare_deb(deb, package.sha256, root, initrd))


def _together(manifest: Manifest, bill: Bill) -> Iterator[Packaged]:
    locked = {package.name: package for package in (*manifest.tools, *manifest.packages)}
    for listed in sorted(bill.packages, key=lambda one: one.name):
        found = locked.get(listed.name)
        if found is None:
            raise BakeError(f"the bill of materials has {listed.name}, which the manifest does not name")
        yield Packaged(listed.name, found.version, found.sha256.hex(), listed)
    for wheel in manifest.wheels:
        yield Packaged(wheel.name, wheel.version, wheel.sha256.hex(), None)
