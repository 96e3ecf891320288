"""Which packages are behind what a suite's security archive offers today, by the sources that they were built from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from provisioner.contents.bill import Bill, Listed
from provisioner.errors import BakeError
from provisioner.image import apt
from provisioner.image.mirror import find_mirror
from provisioner.image.records import Source, source_of
from provisioner.progress import Progress
from provisioner.report.versions import is_older


@dataclass(frozen=True, slots=True)
class Behind:
    """A source of which the security archive has a newer version than the image."""

    source: str
    version: str
    offered: str
    packages: tuple[Listed, ...]


def ask(bill: Bill, mirror: str | None, security: str | None, *, progress: Progress) -> tuple[Behind, ...]:
    """Compare an image with what the mirror's security archive offers now; its signatures are checked by apt.

    Raises:
        BakeError: the mirror cannot be reached, or is not what it should be.
    """
    found = find_mirror(mirror, security)
    with tempfile.TemporaryDirectory(prefix="vitrine-apt-") as home:
        private = apt.open_apt(Path(home), found, bill.suite, progress=progress)
        return behind(bill, newest(parse_index(private.index_of(f"{bill.suite}-security"))))


def behind(bill: Bill, offered: dict[str, str]) -> tuple[Behind, ...]:
    """Compare an image with the newest version of each source that is offered."""
    return tuple(
        Behind(source, packages[0].source_version, offered[source], packages)
        for source, packages in sorted(bill.sources().items())
        if source in offered and is_older(packages[0].source_version, offered[source])
    )


def newest(sources: Iterable[Source]) -> dict[str, str]:
    """Return the newest version of each source: an archive may keep older ones beside it."""
    found: dict[str, str] = {}
    for source in sources:
        if source.name not in found or is_older(found[source.name], source.version):
            found[source.name] = source.version
    return found


def parse_index(text: str) -> tuple[Source, ...]:
    """Read the sources of a suite's list of packages, each once.

    Raises:
        BakeError: it is malformed, or empty, which no suite's is.
    """
    found: dict[Source, None] = {}
    for stanza in filter(str.strip, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        try:
            found[source_of(fields["Package"], fields["Version"], fields.get("Source"))] = None
        except KeyError as error:
            raise BakeError(f"the mirror's index is malformed: a package without {error}") from error
    if not found:
        raise BakeError("the mirror's index of security updates is empty")
    return tuple(found)
