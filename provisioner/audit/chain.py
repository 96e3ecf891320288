"""The chain from a line of the source to a PCR that the machine quoted, each link with the digest that it gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.audit.provenance import Origin, origin_of
from provisioner.contents.image import open_contents, split
from provisioner.contents.way import Link, way
from provisioner.errors import BakeError
from provisioner.measure import Prediction

# What the chain begins with where nothing else is asked for: the rule that drops what nobody asked to leave.
EXAMPLE, _WORDS = "roles/egress_firewall/files/tree/usr/lib/vitrine/firewall.nft.j2", "hook output"
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Quoted:
    """What a machine's TPM said, once it was verified: the PCRs, the attestation key's name, the platform."""

    pcrs: Mapping[int, bytes]
    key: str
    platform: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the checkout."""

    path: str
    number: int
    text: str


def read_line(source: Path, told: str) -> Line:
    """Read FILE:NUMBER; without a number it is the file's first line, of the example the one that it is there for.

    Raises:
        BakeError: there is no such line.
    """
    path, colon, number = told.rpartition(":")
    if not colon or not number.isdigit():
        path, number = told, ""
    try:
        lines = (source / path).read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise BakeError(f"--line: {source / path}: {error.strerror}") from error
    words = _WORDS if path == EXAMPLE else ""
    found = int(number) if number else next((n for n, line in enumerate(lines, 1) if words in line), 1)
    if not 1 <= found <= len(lines):
        raise BakeError(f"--line: {path} has {len(lines)} lines, and no line {found}")
    return Line(path, found, lines[found - 1].strip())


def chain(source: Path, line: Line, image: Path, prediction: Prediction, quoted: Quoted | None) -> tuple[Link, ...]:
    """Return the links from a line of the source to the quote; without one, to what would be quoted.

    Raises:
        BakeError: no task installs that file by its name, or the image is not what its UKI names.
        MeasureError: the image is malformed.
    """
    origin = origin_of(source, line.path)
    name, path = split(origin.target)
    contents = open_contents(image)
    entry = contents.part(name).find(path)
    digest = hashlib.sha256((source / line.path).read_bytes()).hexdigest()
    links = [
        Link(f"source {line.path}:{line.number}", digest, f"“{line.text[:_SHOWN]}”"),
        Link(f"role {origin.role}", digest, f"{origin.task}{_kept(origin, line, entry.read())}"),
        *way(contents, name, entry, prediction),
    ]
    return (*links, *(_quote(links, quoted) if quoted else ()))


def _kept(origin: Origin, line: Line, data: bytes) -> str:
    """Say where the line stands in the file of the image; a template may have filled it in."""
    if origin.target.startswith(("uki:", "initrd:/cmdline")):
        return ""
    for number, text in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if text.strip() == line.text:
            return f"; it is line {number} of the file"
    return "; the role fills it in"


def _quote(links: list[Link], quoted: Quoted) -> Iterator[Link]:
    """Yield what the machine quotes for each PCR that the chain ends in."""
    for link in links:
        if link.pcr is not None and (value := quoted.pcrs.get(link.pcr)) is not None:
            same = "equal" if value.hex() == link.digest else "ANOTHER value"
            how = f"{same}; signed by the attestation key {quoted.key} on {quoted.platform}, over this audit's nonce"
            yield Link(f"quoted PCR {link.pcr}", value.hex(), how, link.pcr)
