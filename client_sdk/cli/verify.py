"""`vitrine verify`: check that a service is what a publisher released."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from client_sdk.accept import Accepted
from client_sdk.cli.evidence_file import read_saved
from client_sdk.cli.options import (
    Commands,
    Trust,
    UsageError,
    add_command,
    add_network,
    add_simulated,
    add_trust,
    at,
    log_page,
    now,
    opened,
    origin,
    patiently,
    trust,
)
from client_sdk.cli.printing import progress
from client_sdk.cli.stored import add_stored, is_stored, run_stored
from client_sdk.cli.verdict import Subject, tell_acceptance, tell_refusal
from client_sdk.errors import AttestationError
from client_sdk.rounds import Gathered, gather, judge
from client_sdk.saved import save

_EXAMPLES = (
    "vitrine verify https://127.0.0.1:8443 --release release.json --publisher publisher.pub --simulated tpm-ca.pem",
    "vitrine verify https://llm.example --release new.json old.json --publisher publisher.pub --json",
    "vitrine verify https://llm.example --release r.json --publisher p.pub --save evidence.json",
    "vitrine verify https://llm.example --release r.json --publisher p.pub --evidence evidence.json",
    "vitrine verify https://llm.example --release r.json --publisher p.pub --html report.html",
    "vitrine verify --evidence raw.json --nonce HEX --at 2026-01-31T12:00:00Z --collateral DIR --release r.json \\",
    "      --publisher p.pub",
)


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "verify", "verify a service and print every check", _EXAMPLES)
    add_stored(parser)
    add_trust(parser)
    add_simulated(parser)
    add_network(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="print the verdict, and what failed, and nothing else")
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write the report as a page to look at, whatever it says"
    )
    parser.add_argument(
        "--log-page",
        metavar="URL",
        type=log_page,
        help="https:// address of the log's pages, for a link from that report to the release there",
    )
    parser.add_argument("--save", metavar="FILE", type=Path, help="keep what was received, for --evidence (mode 0600)")
    parser.add_argument(
        "--evidence",
        metavar="FILE",
        type=Path,
        help="judge a file instead of asking, which says nothing about now: one of --save for ORIGIN, or raw evidence",
    )
    parser.add_argument(
        "--at",
        metavar="INSTANT",
        type=at,
        help="with --evidence: judge as at 2026-01-31T12:00:00Z (default for a file of --save: now)",
    )
    parser.set_defaults(run=run, needs="ORIGIN, or --evidence with --nonce and --at")


def run(arguments: argparse.Namespace) -> int:
    """Verify and print; return the exit code."""
    if arguments.at and arguments.now:
        raise UsageError("--at and --now are two names of one option: give one of them")
    arguments.at = arguments.at or arguments.now
    if arguments.log_page and not arguments.html:
        raise UsageError("--log-page is for the report that --html FILE writes")
    if is_stored(arguments):
        return run_stored(arguments)
    if arguments.evidence and arguments.save:
        raise UsageError("--save and --evidence exclude each other")
    if arguments.at and not arguments.evidence:
        raise UsageError("--at judges a file: it needs --evidence")
    if arguments.html and arguments.html in {arguments.save, arguments.evidence}:
        raise UsageError("--html needs a file of its own")
    trusted = trust(arguments)
    subject = Subject(
        name=str(origin(arguments)),
        policy=trusted.policy,
        when=arguments.at or now(),
        saved=bool(arguments.evidence),
        note=f" over {arguments.evidence}, which says nothing about now" if arguments.evidence else "",
    )
    try:
        accepted = _accepted(arguments, trusted)
    except AttestationError as error:
        return tell_refusal(error, subject, arguments)
    return tell_acceptance(accepted.report, subject, arguments)


def _accepted(arguments: argparse.Namespace, trusted: Trust) -> Accepted:
    """Releases first: a release that nobody signed is not worth a connection."""
    instant: datetime | None = arguments.at
    releases = opened(trusted, at_instant=instant or now())
    gathered = _gathered(arguments)
    at_instant, collateral = instant or now(), trusted.collateral
    return judge(gathered, releases=releases, policy=trusted.policy, now=at_instant, collateral=collateral)


def _gathered(arguments: argparse.Namespace) -> Gathered:
    where = origin(arguments)
    if arguments.evidence:
        found = read_saved(arguments.evidence)
        if found.origin != str(where):
            what = f"--evidence: the file is about {found.origin}, not about {where}"
            raise UsageError(f"{what}; give that ORIGIN, or the file of this one")
        return found
    gathered = patiently(lambda: gather(where, timeout=arguments.timeout), wait=arguments.wait, say=progress)
    if arguments.save:
        try:
            save(arguments.save, gathered)
        except OSError as error:
            raise UsageError(f"--save: cannot write {arguments.save}: {error.strerror}") from error
    return gathered
