"""What a policy says about one measured value: it is one of these, it is zero, or anything.

There is no fourth way: a clause about values has one of these for each, so none is left out by omission.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import Failure
from client_sdk.report import Ledger


@dataclass(frozen=True, slots=True)
class Expected:
    """The value is one of these; an empty set accepts nothing."""

    values: frozenset[bytes]

    def judge(self, rule: str, what: str, value: bytes, ledger: Ledger) -> tuple[Failure, ...]:
        """Return the failure, if it is one."""
        wanted = tuple(sorted(self.values))
        return ledger.judge(rule, what, expected=wanted, got=value, condition=value in self.values)


@dataclass(frozen=True, slots=True)
class MustBeZero:
    """Every byte is zero. A value that this kind of evidence does not have yet counts as zero."""

    def judge(self, rule: str, what: str, value: bytes, ledger: Ledger) -> tuple[Failure, ...]:
        """Return the failure, if it is one."""
        return ledger.judge(rule, what, expected="zero", got=value, condition=not value.strip(b"\0"))


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Anything: the policy's author wrote down that this value decides nothing, and the report shows it."""

    def judge(self, rule: str, what: str, value: bytes, ledger: Ledger) -> tuple[Failure, ...]:
        """Record the value; it never fails."""
        return ledger.judge(rule, what, expected="anything", got=value, condition=True)


Wanted = Expected | MustBeZero | AnyValue
