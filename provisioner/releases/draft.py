"""From what a deployment was accepted with, or from an image, to a release that waits for signatures.

A deployment's own release is where the measurements come from: they were predicted there, and a client accepted a VM
under them. An image alone gives those of the local platform, which nobody accepted yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from client_sdk.dsse import sign
from client_sdk.errors import AttestationError
from client_sdk.manifest import digest
from client_sdk.publisher import Publisher
from client_sdk.release import Measurement, Release, open_release
from provisioner.errors import Fault, ReleaseError, SpecError
from provisioner.platforms import LOCAL
from provisioner.publish import LIFETIME, MANIFEST, PUBLISHER, RELEASE, measured
from provisioner.releases.checks import History, next_number, require_next


@dataclass(frozen=True, slots=True)
class Source:
    """What a release is made of. ``number`` is that of a deployment's own release; 0 where it is an image."""

    where: Path
    manifest_sha256: bytes
    measurements: tuple[Measurement, ...]
    service: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What whoever makes a release decides; an empty ``service`` is the sources' own, no ``start`` is now."""

    service: str = ""
    start: datetime | None = None
    lifetime: timedelta = LIFETIME
    revokes: tuple[int, ...] = ()
    number: int | None = None


def read_source(where: Path) -> Source:
    """Read a deployment's folder, or an image's.

    Raises:
        SpecError: it is neither, or its release is not its own publisher's.
        MeasureError: the image cannot be measured.
    """
    if not (where / MANIFEST).is_file():
        told = "the folder of a deployment that was accepted (build/NAME), or of a baked image"
        raise SpecError((Fault(str(where), told, "no manifest.json"),))
    manifest = (where / MANIFEST).read_bytes()
    if (where / RELEASE).is_file():
        return _deployed(where, manifest)
    return Source(where, digest(manifest), measured(where, manifest, (LOCAL,)))


def make(sources: tuple[Source, ...], terms: Terms, history: History, *, now: datetime) -> Release:
    """Make the release that says what the sources do, as the next one after those that are published.

    Raises:
        SpecError: the sources are of different images or services, or of none.
        ReleaseError: it may not follow those that are published.
    """
    _refuse_mixed(sources)
    last, start = history.last, (terms.start or now).replace(microsecond=0)
    number = next_number(history, max(source.number for source in sources))
    made = Release(
        number=number if terms.number is None else terms.number,
        not_before=start,
        not_after=start + terms.lifetime,
        supersedes=None if last is None else last.number,
        revokes=tuple(sorted({*terms.revokes, *history.revoked})),
        service=_service(sources, terms, last),
        manifest_sha256=sources[0].manifest_sha256,
        measurements=_together(sources),
    )
    _refuse_unknown(terms.revokes, history)
    require_next(made, history, now=now)
    return made


def revoke(
    numbers: tuple[int, ...], sources: tuple[Source, ...], terms: Terms, history: History, *, now: datetime
) -> Release:
    """Make the release that revokes those of these numbers; without sources it says what the newest one says.

    Raises:
        SpecError: the sources are wrong.
        ReleaseError: nothing is published, a number is none of a published release, or there is no successor.
    """
    last = history.last
    if last is None:
        raise ReleaseError((Fault("published", "a release that can be revoked", "none"),), "name the right folder")
    if not sources and last.number in numbers:
        fault = Fault("source", f"what takes the place of release {last.number}, the newest", "nothing")
        remedy = (
            "deploy a corrected image, then name its folder: --source build/NAME; clients are told of the successor"
        )
        raise ReleaseError((fault,), remedy)
    kept = (Source(Path(), last.manifest_sha256, last.measurements, last.service),)
    return make(sources or kept, replace(terms, revokes=numbers), history, now=now)


def unsigned(release: Release) -> bytes:
    """Return the envelope that waits for signatures."""
    return sign(release.to_statement(), ())


def _deployed(where: Path, manifest: bytes) -> Source:
    try:
        release = open_release((where / RELEASE).read_bytes(), Publisher(keys=(where / PUBLISHER,)))
    except AttestationError as error:
        wanted = f"a release of this deployment, signed by the key in {where / PUBLISHER}"
        raise SpecError((Fault(str(where / RELEASE), wanted, str(error)),)) from error
    if digest(manifest) != release.manifest_sha256:
        wanted = "the manifest that the release names; deploy again, which writes both"
        raise SpecError((Fault(str(where / MANIFEST), wanted, digest(manifest).hex()),))
    return Source(where, release.manifest_sha256, release.measurements, release.service, release.number)


def _refuse_mixed(sources: tuple[Source, ...]) -> None:
    if not sources:
        raise SpecError((Fault("SOURCE", "at least one folder", "none"),))
    if len({source.manifest_sha256 for source in sources}) > 1:
        told = "; ".join(f"{source.where}: {source.manifest_sha256.hex()[:16]}…" for source in sources)
        raise SpecError((Fault("SOURCE", "deployments of one image, with one manifest", told),))


def _refuse_unknown(revokes: tuple[int, ...], history: History) -> None:
    known = {release.number for release in history.releases}
    if unknown := sorted(set(revokes) - known - history.revoked):
        published = ", ".join(map(str, sorted(known))) or "none"
        fault = Fault("revokes", f"numbers of published releases: {published}", ", ".join(map(str, unknown)))
        raise ReleaseError((fault,), "revoke what was published; what never was, no client holds")


def _service(sources: tuple[Source, ...], terms: Terms, last: Release | None) -> str:
    named = {source.service for source in sources if source.service}
    if terms.service:
        return terms.service
    if len(named) == 1:
        return named.pop()
    if not named and last is not None:
        return last.service
    got = ", ".join(sorted(named)) or "none: an image names no service"
    raise SpecError((Fault("--service", "the name of the service, which clients see", got),))


def _together(sources: tuple[Source, ...]) -> tuple[Measurement, ...]:
    """Return every measurement once, in an order of its own: the same sources make the same bytes, however given."""
    found = dict.fromkeys(one for source in sources for one in source.measurements)
    return tuple(sorted(found, key=lambda one: (one.platform, one.boot_mode, repr(one))))
