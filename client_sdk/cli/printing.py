"""Reports for people (a table) and for machines (JSON), on standard output."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from client_sdk.encoding import canonical_json
from client_sdk.errors import AttestationError, FetchError, PolicyError, VerificationError
from client_sdk.report import NO_VERDICT, REFUSED, Check, Report, refusal, show

WIDTH = 120
_DEVICE = re.compile(r"(gpu|nvswitch)_\d+")
# What a reader of the table wants to know; JSON has all of it.
_SHOWN = (
    "policy",
    "opted_out",
    "service",
    "release",
    "transparency",
    "memory",
    "manifest_sha256",
    "image_authenticode",
    "phases",
    "platform",
    "tee",
    "project",
    "zone",
    "instance",
    "vm_id",
    "tcb_status",
    "reported_tcb",
    "tls_spki_sha256",
    "ek_certificate_sha256",
    "tpm_ca_sha256",
    "secure_boot",
    "boot_entries",
    "verified_at",
)


def progress(text: str) -> None:
    """Say what is being waited for, on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_report(report: Report, *, origin: str, note: str = "", quiet: bool = False) -> None:
    """Print the checks, the facts, what was not run, and the verdict; or the verdict alone."""
    screen = console()
    if not quiet:
        screen.print(_table(report.checks))
        facts = [(name, value) for name, value in report.facts if name in _SHOWN or _DEVICE.fullmatch(name)]
        screen.print(_rows([(name.replace("_", " "), show(value)) for name, value in facts]))
        _print_not_run(screen, report.not_run)
    if not report.checks:
        return
    text = f"{report.verdict}: {origin}, {len(report.checks)} checks passed{note}"
    screen.print(Text(text, style="bold green"), soft_wrap=True)


def print_refusal(error: AttestationError, *, origin: str, quiet: bool = False) -> None:
    """Print the checks made so far, what was not run, and why it ended; or the last alone."""
    screen = console()
    if error.checks and not quiet:
        screen.print(_table(error.checks))
        _print_not_run(screen, error.not_run)
    word = NO_VERDICT if isinstance(error, FetchError) else REFUSED
    screen.print(Text(f"{word}: {origin}", style="bold red"), soft_wrap=True)
    for line in _lines(error):
        screen.print(Text(f"  {line}"), soft_wrap=True)


def print_json(value: dict[str, Any]) -> None:
    """Print one line of canonical JSON."""
    sys.stdout.buffer.write(canonical_json(value) + b"\n")
    sys.stdout.buffer.flush()


def refusal_as_dict(error: AttestationError, *, origin: str) -> dict[str, Any]:
    """Return a refusal in the form of a report, with the error beside it."""
    report = refusal(error).as_dict()
    report["origin"] = origin
    report["error"] = {
        "type": type(error).__name__,
        "rule": error.rule if isinstance(error, (VerificationError, PolicyError)) else "",
        "rules": list(error.rules) if isinstance(error, PolicyError) else [],
        "message": str(error),
        "failures": [
            {"clause": failure.clause, "expected": failure.expected, "got": failure.got}
            for failure in (error.failures if isinstance(error, PolicyError) else ())
        ],
    }
    return report


def _lines(error: AttestationError) -> tuple[str, ...]:
    if isinstance(error, PolicyError) and error.failures:
        return tuple(str(failure) for failure in error.failures)
    return (str(error),)


def _rows(rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_not_run(screen: Console, not_run: tuple[tuple[str, str], ...]) -> None:
    if not_run:
        screen.print(_rows([("not run", f"{rules}: {why}") for rules, why in not_run]))


def _remark(expected: str) -> str:
    """Say where a clause takes whatever is there, so that a passed check is not taken for a comparison."""
    if expected.startswith("anything:") or expected in {"any", "either"}:
        return " (anything taken)"
    return " (not demanded)" if expected == "not demanded" else ""


def _table(checks: tuple[Check, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("", "rule", "check"):
        table.add_column(title, no_wrap=title != "check")
    for check in checks:
        mark = Text("ok", style="green") if check.passed else Text("FAILED", style="bold red")
        what = check.what
        expected = show(check.expected)
        what += _remark(expected) if check.passed else f"\nexpected {expected}\ngot      {show(check.got)}"
        table.add_row(mark, check.id, Text(what))
    return table


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command: rich would exit with 1, which says "refused" here."""
        raise BrokenPipeError


def console() -> Console:
    """Without a terminal the table gets a fixed width, so that logs look alike everywhere."""
    return _Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
