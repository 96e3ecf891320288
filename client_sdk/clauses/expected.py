"""What a policy says about one value: the values that it takes, that it must be zero, or that any will do and why.

A value is something measured (bytes), or something that a cloud or a paravisor states in words, numbers or flags.
There is no fourth way, and no default: a value that a policy does not look at says so, with the reason, in every
report.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from client_sdk.errors import EvidenceError, Failure
from client_sdk.given import require_all, require_reason
from client_sdk.report import Ledger, Phrase

Value = bytes | str | int | bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """Takes these values; true is not 1.

    Raises:
        EvidenceError: there is none, which would refuse everything by mistake; or one value in place of a tuple.
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        expected, remedy = "a tuple of bytes, texts, numbers or truths", "write OneOf((value,))"
        require_all(self.values, (bytes, str, int), "policy.one_of", expected=expected, remedy=remedy)
        if not self.values:
            raise EvidenceError("policy", "a list of expected values is empty")

    def judge(self, rule: str, what: str, got: object, ledger: Ledger) -> tuple[Failure, ...]:
        """Return a failure when the value is not one of them."""
        same = any(type(got) is type(value) and got == value for value in self.values)
        return ledger.judge(rule, what, expected=self.values, got=got, condition=same)


@dataclass(frozen=True, slots=True)
class MustBeZero:
    """Takes bytes that are all zero: nobody set the value. One that this kind of evidence does not have is zero."""

    def judge(self, rule: str, what: str, got: bytes, ledger: Ledger) -> tuple[Failure, ...]:
        """Return a failure when a byte is set."""
        return ledger.judge(rule, what, expected="zero", got=got, condition=not got.strip(b"\0"))


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Takes whatever is there, or nothing. ``why`` stands in every report.

    Raises:
        EvidenceError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        require_reason(self.why, "policy.any_value")

    def judge(self, rule: str, what: str, got: object, ledger: Ledger) -> tuple[Failure, ...]:
        """Record that the value was not compared."""
        return ledger.judge(rule, what, expected=Phrase(("anything:", self.why)), got=got, condition=True)


def require_ids(ids: object, sizes: tuple[int, ...], where: str) -> None:
    """Refuse a set of ids of which one is not bytes of a size in use: it would name nothing, in silence.

    Raises:
        EvidenceError: at ``where``.
    """
    if not isinstance(ids, frozenset) or any(not isinstance(one, bytes) or len(one) not in sizes for one in ids):
        raise EvidenceError(where, f"expected a frozenset of ids of {' or '.join(map(str, sizes))} bytes each")


Expectation = OneOf | MustBeZero | AnyValue
"""About measured bytes."""
Stated = OneOf | AnyValue
"""About a statement, which may also be missing."""


class Setting(Enum):
    """What a policy says about one bit. EITHER is a statement like the others, and stands in the report."""

    REQUIRED = "required"
    FORBIDDEN = "forbidden"
    EITHER = "either"

    def judge(self, rule: str, what: str, got: object, ledger: Ledger) -> tuple[Failure, ...]:
        """Return a failure when the bit is not as required or forbidden."""
        found = bool(got)
        wanted = {Setting.REQUIRED: found, Setting.FORBIDDEN: not found, Setting.EITHER: True}
        return ledger.judge(rule, what, expected=self.value, got="set" if found else "not set", condition=wanted[self])
