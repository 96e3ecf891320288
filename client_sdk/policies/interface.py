"""What a policy is: anchors to verify under, and clauses over evidence that is already genuine."""

from __future__ import annotations

from typing import Protocol

from client_sdk.errors import Failure
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
