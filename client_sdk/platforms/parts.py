"""Which parts the evidence of a platform has: no more than what something binds, no fewer than what must be bound (C6).

(C6.2) The CPU's report is of a kind that the platform has; under a simulated cloud's roots alone there may be none.
(C6.1) Every part is there that has to be bound. (C6) No part is there that nothing binds: it could be another
machine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from client_sdk.evidence import Evidence
from client_sdk.platforms.interface import Case
from client_sdk.roots import Anchors
from client_sdk.rules import keeps

_NO_TEE = "none"


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts that have to be there, and parts that must not: fields of the evidence, or of its ``tee``."""

    needed: tuple[str, ...]
    unbound: tuple[str, ...]


@keeps("C6.1", "C6.2")
def verify_tee_parts(case: Case, kinds: Mapping[str, Parts], cloud: Anchors) -> None:
    """Check the parts of a platform with a CPU's report; ``kinds`` has those of each kind of report.

    Where ``cloud``, the roots of the attestation key, are simulated ones, there may be no report: no test can make one
    that a maker signed. Nothing is proven about the host then, as nothing is by those roots.

    Raises:
        VerificationError: C6.
    """
    tee, ledger = case.evidence.tee, case.ledger
    kind = tee.kind if tee else _NO_TEE
    if tee is None and cloud and case.roots.simulated:
        verify_nothing_unbound(case, ("ek_certificates",))
        return
    what = "the CPU's report is of a kind that this platform has"
    ledger.holds("C6.2", what, expected=tuple(kinds), got=kind, condition=kind in kinds)
    parts = kinds[kind]
    missing = tuple([name for name in parts.needed if not _part(case.evidence, name)])
    ledger.equal("C6.1", "the evidence has every part that has to be bound", expected=(), got=missing)
    verify_nothing_unbound(case, parts.unbound)


@keeps("C6")
def verify_nothing_unbound(case: Case, unbound: tuple[str, ...]) -> None:
    """Check that parts are empty which nothing on this platform binds.

    Raises:
        VerificationError: C6.
    """
    got = tuple([name for name in unbound if _part(case.evidence, name)])
    if case.activation is not None and "ek_certificates" in unbound:
        got += ("activation",)
    case.ledger.equal("C6", "the evidence has no part that nothing on this platform binds", expected=(), got=got)


def _part(evidence: Evidence, name: str) -> object:
    outer, _, inner = name.partition(".")
    return getattr(getattr(evidence, outer), inner) if inner else getattr(evidence, outer)
