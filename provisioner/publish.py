"""Manifest and release of a baked image: written as candidates, published once a client has accepted the VM.

A release states what was *predicted* from the artefacts. Nothing here looks at a running VM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from client_sdk.binding import LOCKDOWN, NO_GPU, RUNTIME_TYPES, SEALED
from client_sdk.dsse import sign
from client_sdk.errors import AttestationError
from client_sdk.evidence import LOCAL_QEMU
from client_sdk.manifest import digest
from client_sdk.publisher import Publisher
from client_sdk.release import Measurement, Release, TemplateEvent, open_release
from provisioner.atomic import replace_file
from provisioner.errors import Fault, SpecError
from provisioner.keys import load_or_create, public_pem
from provisioner.measure import Prediction, predict

LIFETIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=14)
IMAGE_PCR = 4
_PCR15 = {"lockdown": LOCKDOWN, "tls-spki": None, "gpu": NO_GPU, "sealed": SEALED}


@dataclass(frozen=True, slots=True)
class Published:
    """Where things lie; ``changed`` says whether a new release was made."""

    release: Path
    manifest: Path
    publisher: Path
    number: int
    changed: bool


def prepare(image: Path, root: Path, *, service: str, now: datetime) -> Published:
    """Write ``manifest.json``, ``publisher.pub`` and ``release.candidate.json`` for an image.

    Where the current release already names this manifest and stays valid for a while, it is the candidate again.

    Raises:
        SpecError: the publisher's key file is not one.
        MeasureError: the artefacts cannot be measured.
    """
    root.mkdir(parents=True, exist_ok=True)
    key = load_or_create(root / "publisher.key")
    pinned = root / "publisher.pub"
    replace_file(pinned, public_pem(key))
    manifest = (image / "manifest.json").read_bytes()
    replace_file(root / "manifest.json", manifest)
    last = _current(root)
    candidate = root / "release.candidate.json"
    _link(root / "image", image)
    measurement = measurement_of(predict(image))
    release = _release(last, digest(manifest), measurement, service=service, now=now)
    if last is not None and release == last:
        replace_file(candidate, (root / "release.json").read_bytes())
    else:
        replace_file(candidate, sign(release.to_statement(), (key,)))
    return Published(candidate, root / "manifest.json", pinned, release.number, changed=release != last)


def promote(root: Path) -> Path:
    """Publish the candidate: call it after a client has accepted the VM under it, never before."""
    return (root / "release.candidate.json").rename(root / "release.json")


def measurement_of(prediction: Prediction, *, platform: str = LOCAL_QEMU, boot_mode: str = "uefi") -> Measurement:
    """Turn a prediction into what a release states for one platform.

    PCR 0 is left unpinned: on this platform it moves with the VM's shape, and only the simulated policy accepts that.
    """
    return Measurement(
        platform=platform,
        boot_mode=boot_mode,
        image_pcr=IMAGE_PCR,
        image_authenticode=prediction.authenticode,
        pcrs=tuple(sorted(prediction.pcrs.items())),
        pcr0_allowed=(),
        phases=prediction.phases,
        pcr15_template=tuple(TemplateEvent(kind, _PCR15[kind]) for kind in RUNTIME_TYPES),
    )


def _release(
    last: Release | None, manifest_sha256: bytes, measurement: Measurement, *, service: str, now: datetime
) -> Release:
    start = now.replace(microsecond=0)
    fresh = Release(
        number=1 if last is None else last.number + 1,
        not_before=start,
        not_after=start + LIFETIME,
        supersedes=None if last is None else last.number,
        revokes=(),
        service=service,
        manifest_sha256=manifest_sha256,
        measurements=(measurement,),
    )
    if last is None or now > last.not_after - RENEW_BEFORE:
        return fresh
    same = replace(
        fresh,
        number=last.number,
        not_before=last.not_before,
        not_after=last.not_after,
        supersedes=last.supersedes,
    )
    return last if same == last else fresh


def _current(root: Path) -> Release | None:
    """Return the published release, expired or not: its number must never be given again."""
    path = root / "release.json"
    if not path.exists():
        return None
    try:
        return open_release(path.read_bytes(), Publisher(keys=(root / "publisher.pub",)))
    except AttestationError as error:
        wanted = f"a release signed by {root / 'publisher.key'}; move the file away to start numbering anew"
        raise SpecError((Fault(str(path), wanted, str(error)),)) from error


def _link(path: Path, target: Path) -> None:
    """Point at the image that the candidate is about, for people and for the next command."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target.resolve())
    partial.rename(path)
