"""Reading the bill of materials that lies beside a manifest: which packages of Debian's an image has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk.manifest import MAX_SIZE
from provisioner.errors import BakeError
from provisioner.image.artefacts import MANIFEST
from provisioner.image.files import read_limited
from provisioner.image.sbom import PREFIX, SBOM

# Ours have some hundred kilobytes.
MAX_FILE = 16 << 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A Debian package of the image; ``files`` is how many of its files the root has, None where that is not said."""

    name: str
    version: str
    source: str
    source_version: str
    where: tuple[str, ...]
    files: int | None

    @property
    def is_gone(self) -> bool:
        """Say whether nothing of it is left in the image but its licence."""
        return self.files == 0 and self.where == ("root",)


@dataclass(frozen=True, slots=True)
class Bill:
    """The Debian packages of an image, and their suite; ``others`` are wheels, of which nobody is asked.

    What a mirror or a tracker of Debian's knows is about Debian's packages alone.
    """

    image: str
    suite: str
    packages: tuple[Listed, ...]
    others: tuple[str, ...]

    def sources(self) -> dict[str, tuple[Listed, ...]]:
        """Return the packages by the source that they were built from."""
        found: dict[str, list[Listed]] = {}
        for package in self.packages:
            found.setdefault(package.source, []).append(package)
        return {source: tuple(packages) for source, packages in found.items()}


def read_bill(folder: Path) -> Bill:
    """Read the bill of an image folder, which must be the one that its manifest names.

    Raises:
        BakeError: it is missing, malformed, or another.
    """
    path = folder / SBOM
    try:
        data = read_limited(path, MAX_FILE)
        named = json.loads(read_limited(folder / MANIFEST, MAX_SIZE))["files"][SBOM]
    except OSError as error:
        why = f"cannot read {error.filename}: {error.strerror}"
        raise BakeError(f"{folder} has no bill of materials: {why}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"{MANIFEST} does not name one: {type(error).__name__}: {error}"
        raise BakeError(f"{folder} has no bill of materials: {why}") from error
    if hashlib.sha256(data).hexdigest() != named:
        raise BakeError(f"{path} is not the one that the manifest names")
    return parse_bill(data)


def parse_bill(data: bytes) -> Bill:
    """Read a bill of ours.

    Raises:
        BakeError: it is malformed.
    """
    try:
        document = json.loads(data)
        if (document["bomFormat"], document["specVersion"]) != ("CycloneDX", "1.6"):
            raise BakeError("bill of materials: expected CycloneDX 1.6")
        image = document["metadata"]["component"]
        debs: list[Listed] = []
        others: list[str] = []
        for item in document["components"]:
            if str(item.get("purl", "")).startswith("pkg:deb/"):
                debs.append(_listed(item))
            elif "purl" in item:
                others.append(str(item["name"]))
        return Bill(
            image=str(image["version"]),
            suite=_told(image)["suite"],
            packages=tuple(debs),
            others=tuple(others),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BakeError(f"bill of materials: malformed: {error!r}") from error


def _listed(item: Mapping[str, Any]) -> Listed:
    told = _told(item)
    return Listed(
        name=str(item["name"]),
        version=str(item["version"]),
        source=told["source"],
        source_version=told["source-version"],
        where=tuple(told["where"].split()),
        files=int(told["files-in-root"]) if "files-in-root" in told else None,
    )


def _told(item: Mapping[str, Any]) -> dict[str, str]:
    return {str(entry["name"]).removeprefix(PREFIX): str(entry["value"]) for entry in item["properties"]}
