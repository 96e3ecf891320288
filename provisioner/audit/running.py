"""One run of ``vitrine audit``: from the command line to what the client says, and to the audit itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from client_sdk import Accepted, attest
from client_sdk.cli import options
from provisioner.audit.archive import IMAGE
from provisioner.audit.audit import Audit, Judged, Subject, audit
from provisioner.audit.chain import EXAMPLE, Quoted, read_line
from provisioner.audit.fetching import fetch, is_address
from provisioner.audit.provenance import origin_of
from provisioner.audit.rebuild import workplace
from provisioner.errors import BakeError
from provisioner.progress import Progress


def run(arguments: argparse.Namespace, *, progress: Progress) -> Audit:
    """Audit what the command line says.

    Raises:
        UsageError: a file of the caller's is not what it should be.
        AttestationError: the release or the service is refused, or nobody answers.
        SpecError: the folder for the rebuild is something else.
        BakeError: there is no verdict.
        MeasureError: an image cannot be measured.
    """
    trusted = options.trust(arguments)
    source = _checkout(arguments.source, arguments.line or EXAMPLE)
    opened = options.opened(trusted, at_instant=options.now())
    origin = options.origin(arguments) if arguments.origin else None
    if is_address(arguments.archive):
        archive = fetch(arguments.archive, source / "build/archives", progress=progress)
    else:
        archive = _archive(Path(arguments.archive))
    subject = Subject(
        source=source,
        archive=archive,
        releases=opened.releases,
        line=arguments.line or EXAMPLE,
        anyway=arguments.anyway,
    )

    def judge() -> Judged:
        return _judged(_attested(str(origin), trusted, arguments, progress))

    with workplace(arguments.work or source / "build/audit", keep=arguments.keep) as work:
        found = audit(subject, work, judge if origin else None, progress=progress)
        if arguments.keep:
            progress(f"the rebuilt image is below {work}")
        return found


def _attested(origin: str, trusted: options.Trust, arguments: argparse.Namespace, progress: Progress) -> Accepted:
    """Ask until the service answers, for as long as the caller waits."""

    def ask() -> Accepted:
        return attest(
            origin,
            releases=trusted.releases,
            publisher=trusted.publisher,
            policy=trusted.policy,
            collateral=trusted.collateral,
            timeout=arguments.timeout,
            memory=trusted.memory,
        )

    return options.patiently(ask, wait=arguments.wait, say=progress)


def _judged(accepted: Accepted) -> Judged:
    evidence = accepted.evidence
    quoted = Quoted(evidence.pcrs, evidence.ak_name.hex(), evidence.platform)
    return Judged(accepted.release, accepted.measurement, quoted)


def _checkout(path: Path, line: str) -> Path:
    """Return the checkout, which must be one, and must have the line that the chain is to begin with."""
    source = _folder(path, "--source")
    if not (source / "playbooks/bake.yml").is_file() or not (source / ".git").exists():
        raise options.UsageError(f"--source: {path} is no checkout of Vitrine: the rebuild takes what git would commit")
    try:
        origin_of(source, read_line(source, line).path)
    except BakeError as error:
        raise options.UsageError(str(error)) from error
    return source


def _archive(path: Path) -> Path:
    """Return the archive's folder; one that lost files is an archive still, and the audit says what it lacks."""
    folder = _folder(path, "--archive")
    if not (folder / IMAGE).is_dir():
        how = "name the folder that `vitrine image archive` made, or the address where it is published"
        raise options.UsageError(f"--archive: {path} is no archive of a release (no {IMAGE}/ in it); {how}")
    return folder


def _folder(path: Path, option: str) -> Path:
    if not path.is_dir():
        raise options.UsageError(f"{option}: {path} is not a folder; name one that is there")
    return path.resolve()
