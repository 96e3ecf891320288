"""One run of ``vitrine audit``: from the command line to what the client says, and to the audit itself."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from client_sdk import Accepted, FetchError, attest
from client_sdk.cli import options
from provisioner.audit.audit import Audit, Judged, Subject, audit
from provisioner.audit.chain import EXAMPLE, Quoted
from provisioner.audit.rebuild import workplace
from provisioner.progress import Progress

_PAUSE = 2.0


def run(arguments: argparse.Namespace, *, progress: Progress) -> Audit:
    """Audit what the command line says.

    Raises:
        UsageError: a file of the caller's is not what it should be.
        AttestationError: the release or the service is refused, or nobody answers.
        BakeError: there is no verdict.
        MeasureError: an image cannot be measured.
    """
    trusted = options.trust(arguments)
    source, archive = _folder(arguments.source, "--source"), _folder(arguments.archive, "--archive")
    opened = options.opened(trusted, at_instant=options.now())
    origin = options.origin(arguments) if arguments.origin else None
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
    deadline = time.monotonic() + arguments.wait
    while True:
        try:
            return attest(
                origin,
                releases=trusted.releases,
                publisher=trusted.publisher,
                policy=trusted.policy,
                collateral=trusted.collateral,
                timeout=arguments.timeout,
            )
        except FetchError as error:
            if time.monotonic() + _PAUSE > deadline:
                raise
            progress(f"waiting: {error}")
            time.sleep(_PAUSE)


def _judged(accepted: Accepted) -> Judged:
    evidence = accepted.evidence
    quoted = Quoted(evidence.pcrs, evidence.ak_name.hex(), evidence.platform)
    return Judged(accepted.release, accepted.measurement, quoted)


def _folder(path: Path, option: str) -> Path:
    if not path.is_dir():
        raise options.UsageError(f"{option}: {path} is not a folder")
    return path.resolve()
