"""The bill of materials of an image: CycloneDX 1.6 as JSON, the same in every bake of the same image.

It names what went in and where from. Whether that is any good, it does not say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from provisioner.image.packages import Package
from provisioner.image.records import Source
from provisioner.image.weights import Weights

SBOM = "sbom.json"
PREFIX = "vitrine:"


@dataclass(frozen=True, slots=True)
class Deb:
    """A Debian package and where in the image it is: ``root``, ``initrd``, ``stub``, ``driver``.

    ``files`` is how many of its files the root still has, its copyright apart; None where dpkg did not install it.
    """

    package: Package
    source: Source
    licences: tuple[str, ...]
    where: tuple[str, ...]
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Pypi:
    """A wheel that is unpacked in the image."""

    name: str
    version: str
    sha256: str
    licences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Materials:
    """Everything in an image, and what it is called: its name is the bake's key, its root hash the measured one."""

    key: str
    serial: str
    epoch: int
    suite: str
    distribution: str
    root_hash: str
    debs: tuple[Deb, ...]
    wheels: tuple[Pypi, ...]
    weights: tuple[Weights, ...]
    files: Mapping[str, str]
    source_commit: str


def serialise(materials: Materials) -> bytes:
    """Write the bill of materials."""
    return (json.dumps(document(materials), indent=1, sort_keys=True) + "\n").encode()


def document(materials: Materials) -> dict[str, Any]:
    """Return the bill of materials, a component for every package, wheel, model and file of ours."""
    made = datetime.fromtimestamp(materials.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    image = {
        "type": "operating-system",
        "bom-ref": "image",
        "name": "vitrine-image",
        "version": materials.key,
        "properties": _properties({"root-hash": materials.root_hash, "suite": materials.suite}),
    }
    components = [
        *(_deb(deb, materials.distribution) for deb in materials.debs),
        *(_wheel(wheel) for wheel in materials.wheels),
        *(_model(weights) for weights in materials.weights),
        _own_code(materials),
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{materials.serial}",
        "version": 1,
        "metadata": {"timestamp": made, "component": image, "lifecycles": [{"phase": "build"}]},
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": sorted(str(item["bom-ref"]) for item in components)}],
    }


def _deb(deb: Deb, distribution: str) -> dict[str, Any]:
    package, source = deb.package, deb.source
    upstream = source.name if source.version == package.version else f"{source.name}@{source.version}"
    qualifiers = {"arch": package.architecture, "distro": distribution, "upstream": upstream}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in qualifiers.items())
    told = {"source": source.name, "source-version": source.version, "where": " ".join(deb.where)}
    told |= {} if deb.files is None else {"files-in-root": str(deb.files)}
    purl = f"pkg:deb/debian/{quote(package.name)}@{quote(package.version, safe='')}?{query}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "hashes": _hash(package.sha256),
        **_licences(deb.licences),
        "properties": _properties(told),
    }


def _wheel(wheel: Pypi) -> dict[str, Any]:
    purl = f"pkg:pypi/{wheel.name}@{quote(wheel.version, safe='')}"
    told = {"type": "library", "bom-ref": purl, "name": wheel.name, "version": wheel.version, "purl": purl}
    return {**told, "hashes": _hash(wheel.sha256), **_licences(wheel.licences)}


def _model(weights: Weights) -> dict[str, Any]:
    ref = f"model:{weights.name}"
    told = {"repository": weights.repository, "engine": weights.engine}
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": weights.name,
        "version": weights.revision,
        "properties": _properties(told),
        "components": _files(ref, weights.files),
    }


def _own_code(materials: Materials) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": "vitrine",
        "name": "vitrine",
        **({"version": materials.source_commit} if materials.source_commit else {}),
        **_licences(("Apache-2.0",)),
        "components": _files("vitrine", sorted(materials.files.items())),
    }


def _files(owner: str, digests: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"type": "file", "bom-ref": f"{owner}/{path}", "name": path, "hashes": _hash(digest)}
        for path, digest in digests
    ]


def _hash(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _licences(names: tuple[str, ...]) -> dict[str, Any]:
    """Give the names as they were found: Debian's are not SPDX's, so none is called an identifier."""
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _properties(told: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"{PREFIX}{name}", "value": value} for name, value in told.items() if value]
