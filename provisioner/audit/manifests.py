"""A rebuilt manifest beside the published one: it names every package, file and digest of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from client_sdk.manifest import Manifest, Package
from provisioner.audit.finding import Finding

_PACKAGES = ("packages", "tools", "wheels")


def compare_manifests(published: Manifest, rebuilt: Manifest) -> Iterator[Finding]:
    """Yield what two manifests say differently."""
    for name in _PACKAGES:
        yield from _rows(name, _packages(getattr(published, name)), _packages(getattr(rebuilt, name)))
    yield from _rows("files", _hex(published.files), _hex(rebuilt.files))
    models = ({model.name: str(model) for model in one.models} for one in (published, rebuilt))
    yield from _rows("models", *models)
    for part in ("boot", "root", "model_disk"):
        yield from map(_brief, _rows(part, _fields(getattr(published, part)), _fields(getattr(rebuilt, part))))
    for name in ("kernel", "token_issuer_key", "source_commit"):
        yield from _rows("manifest", {name: getattr(published, name)}, {name: getattr(rebuilt, name)})


def _rows(what: str, published: dict[str, str], rebuilt: dict[str, str]) -> Iterator[Finding]:
    for name in sorted(published.keys() | rebuilt.keys()):
        old, new = published.get(name, "nothing"), rebuilt.get(name, "nothing")
        if old != new:
            yield Finding(f"manifest: {what}: {name}", old, new)


def _brief(finding: Finding) -> Finding:
    """Leave out the words that both command lines have."""
    old, new = finding.published.split(), finding.found.split()
    if len(old) < 2 or len(new) < 2:
        return finding
    rest = (" ".join(word for word in one if word not in other) for one, other in ((old, new), (new, old)))
    return replace(finding, published=next(rest), found=next(rest))


def _packages(packages: tuple[Package, ...]) -> dict[str, str]:
    return {package.name: f"{package.version}, sha256 {package.sha256.hex()}" for package in packages}


def _hex(rows: tuple[tuple[str, bytes], ...]) -> dict[str, str]:
    return {name: digest.hex() for name, digest in rows}


def _fields(value: Any) -> dict[str, str]:
    told = ((one.name, getattr(value, one.name)) for one in fields(value))
    return {name: found.hex() if isinstance(found, bytes) else str(found) for name, found in told}
