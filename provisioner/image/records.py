"""What Debian's own files say about a package: the source that it was built from, and its licences by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.packages import Package

_SOURCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(?: \((?P<version>[^)]+)\))?")
# What does not begin so is prose, and tells no program a licence.
_FORMAT = re.compile(r"Format: *https?://www\.debian\.org/doc/packaging-manuals/copyright-format/1\.0/?\s")
_LICENCE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)
_SIGNED = re.compile(r"linux-signed-[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Source:
    """A source package, as Debian's security team speaks of it."""

    name: str
    version: str


def installed_sources(tree: Path) -> dict[str, Source]:
    """Return the source of every package that dpkg installed in a tree, by the package's name.

    Raises:
        BakeError: there is no list of packages, or it is malformed.
    """
    try:
        text = (tree / "var/lib/dpkg/status").read_text("utf-8")
    except OSError as error:
        raise BakeError(f"{tree} has no list of packages: {error}") from error
    found = {}
    for stanza in filter(None, text.split("\n\n")):
        fields = Parser().parsestr(stanza, headersonly=True)
        found[str(fields["Package"])] = source_of(str(fields["Package"]), str(fields["Version"]), fields["Source"])
    return found


def packed_source(package: Package, file: Path) -> Source:
    """Return the source of a package that is not installed anywhere, from its file.

    Raises:
        BakeError: the file cannot be read.
    """
    told = process.run(["dpkg-deb", "-f", file, "Source"], what=f"reading {package.name}").decode().strip()
    return source_of(package.name, package.version, told or None)


def source_of(name: str, version: str, told: str | None) -> Source:
    """Read the field Source, which is left out where it would say the same as the package.

    Raises:
        BakeError: it is malformed.
    """
    if told is None:
        return Source(name, version)
    match = _SOURCE.fullmatch(told.strip())
    if match is None:
        raise BakeError(f"{name}: malformed source {told!r}")
    # Debian signs its kernels in a source package of its own; what is known about them stands under "linux".
    if _SIGNED.fullmatch(match["name"]):
        return Source("linux", version)
    return Source(match["name"], match["version"] or version)


def licences(tree: Path, package: str) -> tuple[str, ...]:
    """Return the licences that a package's copyright file names, or none where it is prose or missing.

    The names are Debian's, and of all files of the source: which of them a program came from is not said.
    """
    path = tree / "usr/share/doc" / package / "copyright"
    if not path.resolve().is_relative_to(tree.resolve()) or not path.is_file():
        return ()
    text = path.read_text("utf-8", "replace")
    if not _FORMAT.match(text):
        return ()
    return tuple(sorted({" ".join(match.split()) for match in _LICENCE.findall(text)}))


def wheel_licences(site: Path, name: str, version: str) -> tuple[str, ...]:
    """Return what an unpacked wheel says of its licence, as far as it says it in a line."""
    wanted = re.sub(r"[-_.]+", "_", name).lower()
    for folder in sorted(site.glob("*.dist-info")):
        if re.sub(r"[-_.]+", "_", folder.name.partition("-")[0]).lower() != wanted or version not in folder.name:
            continue
        fields = Parser().parsestr((folder / "METADATA").read_text("utf-8", "replace"), headersonly=True)
        told = fields["License-Expression"] or fields["License"] or ""
        if told.strip() and "\n" not in told.strip():
            return (told.strip(),)
        known = [str(c) for c in fields.get_all("Classifier", []) if str(c).startswith("License :: ")]
        return tuple(sorted(c.rpartition(" :: ")[2] for c in known))
    return ()
