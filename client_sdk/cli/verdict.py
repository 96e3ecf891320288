"""How a verdict is told: the page first, where one was asked for, then a line of JSON or a table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from client_sdk.cli.codes import ACCEPTED, NO_VERDICT, REFUSED
from client_sdk.cli.options import UsageError
from client_sdk.cli.printing import print_json, print_refusal, print_report, refusal_as_dict
from client_sdk.errors import AttestationError, FetchError
from client_sdk.page import Heading, render
from client_sdk.policies.interface import Policy
from client_sdk.report import Report, refusal
from client_sdk.writing import READABLE, write


@dataclass(frozen=True, slots=True)
class Subject:
    """What was judged, by which policy and as at when.

    ``saved`` tells of a file, ``stored`` of one with raw evidence. ``note`` stands beside an acceptance in a terminal.
    """

    name: str
    policy: Policy
    when: datetime
    saved: bool
    note: str = ""
    stored: bool = False


def tell_acceptance(report: Report, subject: Subject, arguments: argparse.Namespace) -> int:
    """Tell an acceptance; return the exit code."""
    machine = report.as_dict() | {"origin": subject.name, "saved": subject.saved}
    _write_page(arguments, subject, lambda heading: render(report, heading, machine=machine))
    if arguments.json:
        print_json(machine)
    else:
        print_report(report, origin=subject.name, note=subject.note, quiet=arguments.quiet)
    return ACCEPTED


def tell_refusal(error: AttestationError, subject: Subject, arguments: argparse.Namespace) -> int:
    """Tell why there is no acceptance; return the exit code."""
    machine = refusal_as_dict(error, origin=subject.name) | {"saved": subject.saved}
    _write_page(arguments, subject, lambda heading: render(refusal(error), heading, machine=machine, error=error))
    if arguments.json:
        print_json(machine)
    else:
        print_refusal(error, origin=subject.name, quiet=arguments.quiet)
    return NO_VERDICT if isinstance(error, FetchError) else REFUSED


def _write_page(arguments: argparse.Namespace, subject: Subject, page: Callable[[Heading], bytes]) -> None:
    """Write the page before anything is printed: a verdict whose page is missing would be half of what was asked."""
    if not arguments.html:
        return
    policy = subject.policy
    heading = Heading(
        origin=subject.name,
        policy=policy.name,
        when=subject.when,
        simulated=policy.roots.simulated,
        saved=subject.saved,
        stored=subject.stored,
        log_page=arguments.log_page,
    )
    try:
        write(arguments.html, page(heading), mode=READABLE)
    except OSError as error:
        raise UsageError(f"--html: cannot write {arguments.html}: {error.strerror}") from error
