"""What Debian's security tracker knows against an image, from a copy of its data that the operator supplies.

It is the file that the tracker publishes at /tracker/data/json: sources, below them CVEs, below them releases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.contents.bill import Bill, Listed
from provisioner.errors import BakeError
from provisioner.report.versions import is_older

# The tracker's own words; "unimportant" is no security problem in the way Debian builds the package.
URGENCIES = ("high", "medium", "low", "not yet assigned", "unimportant", "end-of-life")
STATES = ("open", "resolved", "undetermined")
_NEVER = "0"


@dataclass(frozen=True, slots=True)
class Finding:
    """A vulnerability of a source that the image has; ``fixed`` is the version without it, empty where there is none.

    Whether anything in the image can reach it, it does not say.
    """

    cve: str
    source: str
    version: str
    urgency: str
    state: str
    fixed: str
    packages: tuple[Listed, ...]

    @property
    def is_gone(self) -> bool:
        """Say whether nothing of the packages is left in the image."""
        return all(package.is_gone for package in self.packages)


def read_findings(path: Path, bill: Bill) -> tuple[Finding, ...]:
    """Read a copy of the tracker's data, and return what it says about this image.

    Raises:
        BakeError: the file cannot be read, is not the tracker's, or does not know the image's suite.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        how = "give a copy of what Debian's security tracker publishes"
        raise BakeError(f"--vulnerabilities: cannot read {path}: {error.strerror}; {how}") from error
    except (ValueError, RecursionError) as error:
        why = f"{path}: not the data of Debian's security tracker: {error}"
        raise BakeError(f"{why}; download a copy anew") from error
    return findings(document, bill)


def findings(document: Any, bill: Bill) -> tuple[Finding, ...]:
    """Return what the tracker's data say about an image.

    Raises:
        BakeError: it is not the tracker's, or it knows nothing of the image's suite.
    """
    if not isinstance(document, dict) or not document:
        raise BakeError("vulnerabilities: expected an object that names sources")
    if not any(bill.suite in releases for _, releases in _all(document)):
        raise BakeError(f"vulnerabilities: nothing in there is about {bill.suite}")
    found = []
    for source, packages in sorted(bill.sources().items()):
        for cve, entry in sorted(_mapping(document.get(source, {}), source).items()):
            release = _mapping(_mapping(entry, cve).get("releases"), cve).get(bill.suite)
            if release is not None and (one := _finding(cve, packages, _mapping(release, cve))) is not None:
                found.append(one)
    return tuple(found)


def _all(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for source, cves in document.items():
        for cve, entry in _mapping(cves, source).items():
            yield cve, _mapping(_mapping(entry, cve).get("releases"), cve)


def _finding(cve: str, packages: tuple[Listed, ...], release: Mapping[str, Any]) -> Finding | None:
    state, fixed, urgency = release.get("status"), release.get("fixed_version", ""), release.get("urgency", "")
    if state not in STATES or not isinstance(fixed, str) or str(urgency).rstrip("*") not in URGENCIES:
        raise BakeError(f"vulnerabilities: {cve}: status {state!r}, fixed_version {fixed!r}, urgency {urgency!r}")
    version = packages[0].source_version
    if state == "resolved" and (fixed == _NEVER or not fixed or not is_older(version, fixed)):
        return None
    # What is resolved in the suite is open in an image that is older.
    told = "fixed" if state == "resolved" else state
    return Finding(cve, packages[0].source, version, str(urgency).rstrip("*"), told, fixed, packages)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BakeError(f"vulnerabilities: {where}: expected an object, got {type(value).__name__}")
    return value
