"""An audit from beginning to end.

(1) The release is signed by the publisher, and names the manifest of the archive.
(2) Every file of the checkout that reaches the image is the manifest's; so is the package lock.
(3) The archive has every package that the lock names, by hash; what it published is what the manifest names.
(4) The service, where one is named, is accepted by the client under that release.
(5) The image is rebuilt in a clean root, from the checkout and the archive, without a network.
(6) The manifest of the rebuild is the published one, byte for byte, and so are the UKI and the boot disk.
(7) What the rebuild would measure is what the release states, and what the service quotes.
(8) One line of the source is followed to the quoted PCRs.

Where (1) to (4) find a difference there is nothing to rebuild: the answer is known. What an audit does not prove: that
the source is harmless, that Debian's packages are built from theirs, nor that the hardware keeps its promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from client_sdk.manifest import Manifest
from client_sdk.release import Measurement, Release
from provisioner.audit.archive import Archive, look, manifest_digest, open_archive
from provisioner.audit.chain import EXAMPLE, Line, Quoted, chain, read_line
from provisioner.audit.finding import Finding
from provisioner.audit.how import how
from provisioner.audit.inside import compare_images
from provisioner.audit.manifests import compare_manifests
from provisioner.audit.measured import Predicted, compare_quote, compare_release, predict_for
from provisioner.audit.needed import Materials, materials
from provisioner.audit.provenance import origin_of
from provisioner.audit.rebuild import rebuild
from provisioner.audit.source import commit_note, compare_source
from provisioner.contents import counts
from provisioner.contents.way import Link
from provisioner.errors import BakeError
from provisioner.image.afresh import PLAIN, Circumstances
from provisioner.image.artefacts import FILES, MANIFEST
from provisioner.image.files import sha256_of
from provisioner.image.sbom import SBOM
from provisioner.progress import Progress

_MANY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is audited: a checkout, an archive, releases that the publisher signed.

    ``line`` is where the chain begins. ``anyway`` rebuilds also where a difference was found before.
    """

    source: Path
    archive: Path
    releases: tuple[Release, ...]
    line: str = EXAMPLE
    anyway: bool = False
    circumstances: Circumstances = PLAIN


@dataclass(frozen=True, slots=True)
class Judged:
    """What a client says of the running service: under which release it was accepted, and what it quoted."""

    release: Release
    measurement: Measurement
    quoted: Quoted


@dataclass(frozen=True, slots=True)
class Audit:
    """The outcome; ``digests`` are of the rebuild's files, empty where nothing was rebuilt."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()
    predicted: tuple[Predicted, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def is_identical(self) -> bool:
        """Say whether nothing differs, of all that was compared."""
        return not self.findings and bool(self.digests)


def audit(subject: Subject, work: Path, judge: Callable[[], Judged] | None, *, progress: Progress) -> Audit:
    """Audit a release, and the service that ``judge`` asks.

    Raises:
        BakeError: there is no verdict: a file is missing, or the rebuild failed.
        MeasureError: an image cannot be measured.
        AttestationError: the client does not accept the service, or cannot reach it.
    """
    line = read_line(subject.source, subject.line)
    origin_of(subject.source, line.path)
    named = manifest_digest(subject.archive)
    release = next((one for one in subject.releases if one.manifest_sha256 == named), None)  # (1)
    if release is None:
        numbers = ", ".join(f"{one.number}: {one.manifest_sha256.hex()}" for one in subject.releases)
        where = f"manifest of the archive {subject.archive}"
        return Audit((Finding(where, f"by release {numbers}", named.hex()),))
    archive = open_archive(subject.archive)
    told = materials(subject.source, archive.recipe, archive.manifest, archive.folder)
    progress("comparing the checkout with the manifest, and the archive with the lock")
    about = (f"release {release.number} of {release.service!r}", commit_note(subject.source, archive.manifest))
    notes = (*about, *_notes(archive, told))
    findings = [*compare_source(subject.source, archive.manifest, told), *_archive(archive, told)]  # (2), (3)
    if findings and not subject.anyway:
        return Audit(tuple(findings), notes)
    judged = _judged(judge, progress)  # (4)
    if judged and judged.release.manifest_sha256 == archive.manifest_sha256:
        release = judged.release  # of several with this manifest the one that the service was accepted under
    elif judged:
        got = f"{judged.release.number}, of manifest {judged.release.manifest_sha256.hex()}"
        findings.append(Finding("release that the service was accepted under", f"{release.number}", got))
        if not subject.anyway:
            return Audit(tuple(findings), notes)
    progress("rebuilding the image in a clean root, without a network (some minutes)")
    image = rebuild(subject.source, archive, told, work, circumstances=subject.circumstances)  # (5)
    return _compared(subject, Audit(tuple(findings), notes), (archive, release, line), (image, judged), progress)


def _compared(
    subject: Subject,
    before: Audit,
    published: tuple[Archive, Release, Line],
    found: tuple[Path, Judged | None],
    progress: Progress,
) -> Audit:
    (archive, release, line), (image, judged) = published, found
    progress("comparing the rebuilt image with the published one")
    findings = [*before.findings, *_files(archive, image)]  # (6)
    predicted = tuple(predict_for(image, one) for one in release.measurements)  # (7)
    for one, measurement in zip(predicted, release.measurements, strict=True):
        findings += compare_release(one, measurement)
    mine = _mine(predicted, release, judged)
    if judged:
        findings += compare_quote(mine, judged.quoted.pcrs)
    digests = tuple((name, sha256_of(image / name)) for name in sorted((*FILES.values(), MANIFEST)))
    outcome = Audit(tuple(findings), before.notes, digests, predicted)
    try:
        links = chain(subject.source, line, image, mine.prediction, judged.quoted if judged else None)  # (8)
    except BakeError as error:  # a later role may have taken the file out again; that is no difference
        return replace(outcome, notes=(*before.notes, f"no chain from {line.path}: {error}"))
    return replace(outcome, links=links)


def _notes(archive: Archive, told: Materials) -> tuple[str, ...]:
    values = ", ".join(f"{name}={value}" for name, value in sorted(archive.recipe.values.items())) or "none"
    asked = f"asked for: mode {archive.recipe.mode}, variables of roles that are not defaults: {values}"
    followed = (f"a test bake: it took packages that the lock of the checkout does not name ({told.followed})",)
    return (asked, f"packages: {counts.of_manifest(archive.manifest)}", *(followed if told.followed else ()))


def _archive(archive: Archive, told: Materials) -> Iterator[Finding]:
    """Yield what in the archive is another file than the lock or the manifest names.

    Raises:
        BakeError: a file is missing.
    """
    holdings = look(archive.folder, told.files)
    for one, got in holdings.wrong:
        yield Finding(f"archive {one.path} ({one.what})", one.sha256, got)
    named = {FILES["uki"]: archive.manifest.boot.uki_sha256.hex()}
    named |= {path: digest.hex() for path, digest in archive.manifest.files if path == SBOM}
    for name, digest in named.items():
        if (path := archive.image / name).is_file() and (got := sha256_of(path)) != digest:
            yield Finding(f"archive {path.relative_to(archive.folder)}", digest, got)
    if holdings.missing and not holdings.wrong:
        shown = ", ".join(f"{one.path} ({one.what})" for one in holdings.missing[:_MANY])
        more = f" and {len(holdings.missing) - _MANY} more" if len(holdings.missing) > _MANY else ""
        raise BakeError(f"{archive.folder} lacks {shown}{more}: without these the image cannot be rebuilt; get them")


def _files(archive: Archive, image: Path) -> Iterator[Finding]:
    if sha256_of(image / MANIFEST) != archive.manifest_sha256.hex():
        yield from compare_manifests(archive.manifest, Manifest.from_json((image / MANIFEST).read_bytes()))
    if all((archive.image / name).is_file() for name in (FILES["uki"], FILES["boot_disk"])):
        yield from compare_images(archive.image, image, how=how)


def _judged(judge: Callable[[], Judged] | None, progress: Progress) -> Judged | None:
    if judge is None:
        return None
    progress("asking the service for evidence")
    return judge()


def _mine(predicted: tuple[Predicted, ...], release: Release, judged: Judged | None) -> Predicted:
    """Return the prediction for the platform of the running service, else the first."""
    if judged:
        for one, measurement in zip(predicted, release.measurements, strict=True):
            if measurement == judged.measurement:
                return one
    return predicted[0]
