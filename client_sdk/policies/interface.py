"""What a policy is: anchors to verify under, and clauses over evidence that is already genuine."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from client_sdk.errors import Failure, FieldError
from client_sdk.given import told
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots
from client_sdk.verifier import VerifiedEvidence


class Policy(Protocol):
    """One clause or a set of them. ``name`` is printed in every report."""

    @property
    def name(self) -> str:
        """What the policy is called."""

    @property
    def roots(self) -> Roots:
        """The trust anchors that evidence is verified against."""

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Return every clause that does not hold, after recording each in the ledger."""


def require_policy(value: object, where: str) -> None:
    """Refuse what is no policy: a class in place of its object, or the path of a policy file.

    Raises:
        EvidenceError: with what to write.
    """
    if isinstance(value, type):
        remedy = f"write {value.__name__}(…)"
    elif isinstance(value, (str, Path)):
        remedy = f'write load_policy("{value}")'
    elif all(hasattr(value, name) for name in ("name", "roots", "judge")):
        return
    else:
        remedy = "give Production() or another policy of docs/policy.md, or leave it out for production's"
    raise FieldError(where, "a policy", told(value), remedy)
