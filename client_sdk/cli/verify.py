"""`vitrine verify`: check that a service is what a publisher released."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from client_sdk.accept import Accepted
from client_sdk.cli.options import (
    Commands,
    Trust,
    UsageError,
    add_command,
    add_network,
    add_origin,
    add_simulated,
    add_trust,
    at,
    now,
    opened,
    origin,
    patiently,
    trust,
)
from client_sdk.cli.printing import print_json, print_refusal, print_report, progress, refusal_as_dict
from client_sdk.errors import AttestationError, EvidenceError, FetchError
from client_sdk.page import Heading, render
from client_sdk.report import refusal
from client_sdk.rounds import Gathered, gather, judge
from client_sdk.saved import load, save
from client_sdk.writing import READABLE, write

REFUSED, NO_VERDICT = 1, 3
_EXAMPLES = (
    "vitrine verify https://127.0.0.1:8443 --release release.json --publisher publisher.pub --simulated tpm-ca.pem",
    "vitrine verify https://llm.example --release new.json old.json --publisher publisher.pub --json",
    "vitrine verify https://llm.example --release r.json --publisher p.pub --save evidence.json",
    "vitrine verify https://llm.example --release r.json --publisher p.pub --evidence evidence.json",
    "vitrine verify https://llm.example --release r.json --publisher p.pub --html report.html",
)


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "verify", "verify a service and print every check", _EXAMPLES)
    add_origin(parser)
    add_trust(parser)
    add_simulated(parser)
    add_network(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write the report as a page to look at, whatever it says"
    )
    parser.add_argument("--save", metavar="FILE", type=Path, help="keep what was received, for --evidence (mode 0600)")
    parser.add_argument(
        "--evidence", metavar="FILE", type=Path, help="judge a saved file instead of asking; says nothing about now"
    )
    parser.add_argument(
        "--at", metavar="INSTANT", type=at, help="with --evidence: judge as at 2026-01-31T12:00:00Z (default: now)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify and print; return the exit code."""
    if arguments.evidence and arguments.save:
        raise UsageError("--save and --evidence exclude each other")
    if arguments.at and not arguments.evidence:
        raise UsageError("--at judges a saved file: it needs --evidence")
    if arguments.html and arguments.html in {arguments.save, arguments.evidence}:
        raise UsageError("--html needs a file of its own")
    where, trusted = str(origin(arguments)), trust(arguments)
    try:
        accepted = _accepted(arguments, trusted)
    except AttestationError as error:
        return _refused(error, arguments, trusted)
    report = accepted.report
    machine = report.as_dict() | {"origin": where, "saved": bool(arguments.evidence)}
    _write_page(arguments, trusted, lambda heading: render(report, heading, machine=machine))
    if arguments.json:
        print_json(machine)
    else:
        note = f" over {arguments.evidence}, which says nothing about now" if arguments.evidence else ""
        print_report(report, origin=where, note=note)
    return 0


def _refused(error: AttestationError, arguments: argparse.Namespace, trusted: Trust) -> int:
    where = str(origin(arguments))
    machine = refusal_as_dict(error, origin=where)
    _write_page(arguments, trusted, lambda heading: render(refusal(error), heading, machine=machine, error=error))
    if arguments.json:
        print_json(machine)
    else:
        print_refusal(error, origin=where)
    return NO_VERDICT if isinstance(error, FetchError) else REFUSED


def _write_page(arguments: argparse.Namespace, trusted: Trust, page: Callable[[Heading], bytes]) -> None:
    """Write the page before anything is printed: a verdict whose page is missing would be half of what was asked."""
    if not arguments.html:
        return
    policy = trusted.policy
    heading = Heading(
        origin=str(origin(arguments)),
        policy=policy.name,
        when=arguments.at or now(),
        simulated=policy.roots.simulated,
        saved=bool(arguments.evidence),
    )
    try:
        write(arguments.html, page(heading), mode=READABLE)
    except OSError as error:
        raise UsageError(f"--html: cannot write {arguments.html}: {error.strerror}") from error


def _accepted(arguments: argparse.Namespace, trusted: Trust) -> Accepted:
    """Releases first: a release that nobody signed is not worth a connection."""
    instant: datetime | None = arguments.at
    releases = opened(trusted, at_instant=instant or now())
    gathered = _gathered(arguments)
    return judge(gathered, releases=releases, policy=trusted.policy, now=instant or now())


def _gathered(arguments: argparse.Namespace) -> Gathered:
    where = origin(arguments)
    if arguments.evidence:
        try:
            found = load(arguments.evidence)
        except OSError as error:
            raise UsageError(f"--evidence: cannot read {arguments.evidence}: {error.strerror}") from error
        except EvidenceError as error:
            raise EvidenceError(f"{arguments.evidence}", f"not as this command saved it: {error}") from error
        if found.origin != str(where):
            raise EvidenceError("$.origin", f"the file is about {found.origin}, not about {where}")
        return found
    gathered = patiently(lambda: gather(where, timeout=arguments.timeout), wait=arguments.wait, say=progress)
    if arguments.save:
        try:
            save(arguments.save, gathered)
        except OSError as error:
            raise UsageError(f"--save: cannot write {arguments.save}: {error.strerror}") from error
    return gathered
