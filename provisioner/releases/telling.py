"""Releases and rotations, as people read them and as programs do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from client_sdk.fields import format_instant
from client_sdk.manifest import Manifest
from client_sdk.release import Measurement, Release
from client_sdk.rotation import Rotation
from provisioner.contents import counts
from provisioner.releases.signing import Signed, numbered

Answer = tuple[dict[str, Any], Iterable[str]]
"""What an action tells a program, and what it tells people on standard output."""


def release_lines(release: Release) -> Iterator[str]:
    """Write a release for a person."""
    yield _row("release", f"{release.number} of {release.service}")
    yield _row("valid", f"{format_instant(release.not_before)} to {format_instant(release.not_after)}")
    yield _row("replaces", "nothing: the first" if release.supersedes is None else f"release {release.supersedes}")
    yield _row("revokes", ", ".join(map(str, release.revokes)) or "nothing")
    yield _row("manifest", f"SHA-256 {release.manifest_sha256.hex()}")
    for measurement in release.measurements:
        yield from _measurement_lines(measurement)


def rotation_lines(rotation: Rotation) -> Iterator[str]:
    """Write a rotation for a person."""
    yield _row("rotation", numbered(rotation))
    yield _row("new keys", f"{rotation.following.threshold} of {', '.join(rotation.following.names)}")
    yield _row("named", rotation.following.digest.hex())
    yield _row("replaces", f"the keys named {rotation.previous.hex()}")


def manifest_lines(manifest: Manifest) -> Iterator[str]:
    """Write what is inside an image, in short."""
    yield _row("kernel", manifest.kernel)
    yield _row("packages", counts.of_manifest(manifest))
    for model in manifest.models:
        yield _row("model", f"{model.name} on {model.engine}, {model.repository} at {model.revision}")
    yield _row("commit", manifest.source_commit or "none: it was baked from files that are no commit")


def signature_lines(signed: Signed) -> Iterator[str]:
    """Write who signed, and what is missing."""
    signers = ", ".join(signed.signers) or "nobody yet"
    yield _row("signed by", f"{signers} (verified)")
    for fault in signed.missing:
        yield _row("missing", f"{fault.field}: {fault.expected}; so far {fault.got}")


def release_as_dict(release: Release) -> dict[str, Any]:
    """Return a release for a program; measurements are as the release file has them."""
    return {
        "kind": "release",
        "number": release.number,
        "service": release.service,
        "not_before": format_instant(release.not_before),
        "not_after": format_instant(release.not_after),
        "supersedes": release.supersedes,
        "revokes": list(release.revokes),
        "manifest_sha256": release.manifest_sha256.hex(),
        "measurements": [
            {
                "platform": one.platform,
                "boot_mode": one.boot_mode,
                "debug": one.is_debug,
                "image_authenticode": one.image_authenticode.hex(),
                "pcrs": {str(index): value.hex() for index, value in one.pcrs},
            }
            for one in release.measurements
        ],
    }


def rotation_as_dict(rotation: Rotation) -> dict[str, Any]:
    """Return a rotation for a program."""
    following = rotation.following
    return {
        "kind": "rotation",
        "number": rotation.number,
        "previous": rotation.previous.hex(),
        "following": following.digest.hex(),
        "keys": list(following.names),
        "threshold": following.threshold,
    }


def signed_as_dict(signed: Signed) -> dict[str, Any]:
    """Return what is being signed for a program, with who signed and what is missing."""
    said = signed.statement
    told = release_as_dict(said) if isinstance(said, Release) else rotation_as_dict(said)
    missing = [{"of": f.field, "expected": f.expected, "got": f.got} for f in signed.missing]
    return told | {"signed_by": list(signed.signers), "missing": missing, "verified": True}


def _measurement_lines(one: Measurement) -> Iterator[str]:
    debug = "; a DEBUG image, which every policy but the simulated one refuses" if one.is_debug else ""
    yield _row("measures", f"on {one.platform}, {one.boot_mode}{debug}:")
    yield _row("", f"image   {one.image_authenticode.hex()} (Authenticode, in PCR {one.image_pcr})")
    for index, value in one.pcrs:
        yield _row("", f"PCR {index:<3} {value.hex() if any(value) else 'zero'}")
    for index, value in one.rtmrs:
        yield _row("", f"RTMR{index}   {value.hex()}")
    for name, values in (("PCR 0", one.pcr0_allowed), ("launch", one.launch_measurements)):
        for value in values:
            yield _row("", f"{name:<7} {value.hex()} is allowed")


def _row(name: str, value: str) -> str:
    return f"{name:<10}{value}"
