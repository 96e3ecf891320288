"""What a policy says about something that a cloud or a paravisor states in words or numbers: one of these, or anything.

There is no third way and no default: a statement that a policy does not look at says so, with the reason, in every
report.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import EvidenceError, Failure
from client_sdk.report import Ledger


@dataclass(frozen=True, slots=True)
class Among:
    """Takes these statements.

    Raises:
        EvidenceError: there is none, which would refuse everything by mistake.
    """

    values: tuple[str | int | bool, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise EvidenceError("policy", "a list of expected statements is empty")

    def judge(self, rule: str, what: str, got: object, ledger: Ledger) -> tuple[Failure, ...]:
        """Return a failure when the statement is none of them; true is not 1."""
        same = any(type(got) is type(value) and got == value for value in self.values)
        return ledger.judge(rule, what, expected=self.values, got=got, condition=same)


@dataclass(frozen=True, slots=True)
class Anything:
    """Takes whatever is stated, or nothing. ``why`` stands in every report.

    Raises:
        EvidenceError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        if not self.why.strip():
            raise EvidenceError("policy", "a statement that may be anything needs a reason")

    def judge(self, rule: str, what: str, got: object, ledger: Ledger) -> tuple[Failure, ...]:
        """Record that the statement was not compared."""
        return ledger.judge(rule, what, expected=("anything:", self.why), got=got, condition=True)


Stated = Among | Anything
