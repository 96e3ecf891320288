"""Is it this rule alone that a vector breaks? Then it is accepted when that one check is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from client_sdk.conformance.__main__ import ACCEPTED, judge
from client_sdk.errors import Failure, VerificationError
from client_sdk.report import Ledger
from client_sdk.verify import grammar, tdx_log
from tests.vectors.manifest import stage


@contextmanager
def leaving_out(rule: str) -> Iterator[None]:
    """Let every check of one rule pass, for as long as it is open."""
    kept = {name: vars(Ledger)[name] for name in ("equal", "holds", "judge")}

    def equal(self: Ledger, name: str, what: str, *, expected: object, got: object) -> None:
        if name != rule:
            kept["equal"](self, name, what, expected=expected, got=got)

    def holds(self: Ledger, name: str, what: str, **values: object) -> None:
        if name != rule:
            kept["holds"](self, name, what, **values)

    def judged(self: Ledger, name: str, what: str, **values: object) -> tuple[Failure, ...]:
        return () if name == rule else kept["judge"](self, name, what, **values)

    refusals = {module: module._refuse for module in (grammar, tdx_log)}
    try:
        for module, refuse in refusals.items():
            module._refuse = _unless(rule, refuse)  # type: ignore[attr-defined]
        Ledger.equal, Ledger.holds, Ledger.judge = equal, holds, judged  # type: ignore[method-assign]
        yield
    finally:
        for name, function in kept.items():
            setattr(Ledger, name, function)
        for module, refuse in refusals.items():
            module._refuse = refuse  # type: ignore[attr-defined]


def _unless(rule: str, refuse: Callable[..., None]) -> Callable[..., None]:
    return lambda name, *values, **more: None if name == rule else refuse(name, *values, **more)


def accepted_without(rule: str, name: str, data: bytes) -> bool:
    """Judge a request with one check left out. A refusal that is neither recorded nor made by ``_refuse`` stays."""
    with leaving_out(rule):
        try:
            return judge(stage(name), data)[0] == ACCEPTED
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, VerificationError):
            return False  # what comes after relies on the check
