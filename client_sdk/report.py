"""What was checked, what was expected and what was found: the record of one verification.

A report is for people and logs. Trust is in the type :class:`client_sdk.accept.Accepted`, not in a report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from client_sdk.encoding import canonical_json
from client_sdk.errors import AttestationError, Failure, FetchError, PolicyError, VerificationError, printable
from client_sdk.sources import Sources, source_of

VERSION = 2
ACCEPTED, VERIFIED, REFUSED, NO_VERDICT = "accepted", "verified", "refused", "no verdict"


Row = tuple[str, str, Any, Any, bool]


class Check(NamedTuple):
    """One named check. ``expected`` and ``got`` are raw values, or functions that give them for who reads them."""

    id: str
    what: str
    expected: Any
    got: Any
    passed: bool

    def as_dict(self) -> dict[str, str]:
        """Return the check as text."""
        return {
            "id": self.id,
            "what": self.what,
            "expected": show(self.expected),
            "got": show(self.got),
            "verdict": "ok" if self.passed else "failed",
        }


class Phrase(tuple[Any, ...]):
    """Words and values that are one text: :func:`show` puts spaces between them, where a list gets commas."""

    __slots__ = ()


class Ledger:
    """Collects the checks of one verification; the first that does not hold raises.

    A row is the fields of a :class:`Check`: making the objects is left to whoever reads them.
    """

    __slots__ = ("opted_out", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.opted_out: list[str] = []

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks so far, in order."""
        return as_checks(self.rows)

    def equal(self, rule: str, what: str, *, expected: object, got: object) -> None:
        """Record a check that holds when both values are equal.

        Raises:
            VerificationError: they differ.
        """
        passed = expected == got
        self.rows.append((rule, what, expected, got, passed))
        if not passed:
            raise VerificationError(rule, what, expected=show(expected), got=show(got))

    def holds(self, rule: str, what: str, *, expected: object, got: object, condition: object) -> None:
        """Record a check that holds when ``condition`` is true; ``expected`` says it in words.

        Raises:
            VerificationError: it is not.
        """
        passed = bool(condition)
        self.rows.append((rule, what, expected, got, passed))
        if not passed:
            raise VerificationError(rule, what, expected=show(expected), got=show(got))

    def judge(self, rule: str, what: str, *, expected: object, got: object, condition: object) -> tuple[Failure, ...]:
        """Record a clause of a policy; return it as a failure when it does not hold, so that all get reported."""
        self.rows.append((rule, what, expected, got, bool(condition)))
        return () if condition else (Failure(f"{rule}: {what}", show(expected), show(got)),)

    def opt_out(self, of: str, why: str) -> None:
        """Note what a policy goes without, and why: whatever the checks say, the report has it among its facts."""
        self.opted_out.append(f"{of}: {why}")

    def add(self, other: Ledger) -> None:
        """Take over what another one recorded."""
        self.rows += other.rows
        self.opted_out += other.opted_out


def as_checks(rows: Iterable[Row]) -> tuple[Check, ...]:
    """Turn rows into checks."""
    return tuple(map(Check._make, rows))


@dataclass(frozen=True, slots=True)
class Report:
    """The checks of one verification, the rules that do not apply with the reason, and facts about the subject.

    ``sources`` are the parts that were received, by name, with the SHA-256 of each; a check names the one it is about.
    """

    verdict: str
    checks: tuple[Check, ...]
    not_run: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()
    sources: Sources = ()

    def source(self, check: Check) -> str:
        """Return the name of the source that a check is about; empty where it was not received as bytes."""
        return source_of(check.id, frozenset(name for name, _ in self.sources))

    def __str__(self) -> str:
        failed = [check for check in self.checks if not check.passed]
        told = "".join(f"; failed: [{c.id}] {c.what} (expected {show(c.expected)}, got {show(c.got)})" for c in failed)
        return f"{self.verdict}, {len(self.checks) - len(failed)} of {len(self.checks)} checks hold{told}"

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {
            "version": VERSION,
            "verdict": self.verdict,
            "checks": [check.as_dict() | {"source": self.source(check)} for check in self.checks],
            "not_run": [{"rules": rules, "why": why} for rules, why in self.not_run],
            "facts": {name: plain(value) for name, value in self.facts},
            "sources": {name: plain(digests) for name, digests in self.sources},
        }

    def to_json(self) -> bytes:
        """Serialise as canonical JSON."""
        return canonical_json(self.as_dict())


def refusal(error: AttestationError) -> Report:
    """Return the report of a verification that ended in an error: what was checked until then, and what failed."""
    verdict = NO_VERDICT if isinstance(error, FetchError) else REFUSED
    checks = tuple(error.checks)
    failed = {check.id for check in checks if not check.passed}
    return Report(
        verdict,
        checks + tuple(check for check in _failures(error) if check.id not in failed),
        error.not_run,
        error.facts,
        error.sources,
    )


def _failures(error: AttestationError) -> tuple[Check, ...]:
    """Return what an error says as checks: some rules are enforced without a row in a ledger."""
    if isinstance(error, VerificationError):
        return (Check(error.rule, error.what, error.expected, error.got, passed=False),)
    clauses = error.failures if isinstance(error, PolicyError) else ()
    parts = ((*failure.clause.partition(": "), failure) for failure in clauses)
    return tuple(Check(rule, what, failure.expected, failure.got, passed=False) for rule, _, what, failure in parts)


def show(value: object) -> str:
    """Spell a value for people, printable: bytes as hex, a tuple item by item, a span of whole days in days."""
    if callable(value):
        value = value()
    if isinstance(value, bytes):
        return value.hex() or "nothing"
    if isinstance(value, timedelta):
        return str(value).removesuffix(", 0:00:00")
    if isinstance(value, (tuple, list)):
        return (" " if isinstance(value, Phrase) else ", ").join(show(item) for item in value) or "nothing"
    return printable(str(value))


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold; bytes become hex."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    return show(value)
