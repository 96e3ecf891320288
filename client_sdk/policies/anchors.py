"""(P6) Every anchor that vouched for something is one that the policy pins.

Evidence is verified under the anchors of a whole policy. Where parts of it are alternatives, one part's anchors must
not vouch for what another part takes.
"""

from __future__ import annotations

from client_sdk.errors import Failure
from client_sdk.report import Ledger
from client_sdk.roots import Roots
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence


@keeps("P6")
def judge_anchors(evidence: VerifiedEvidence, roots: Roots, ledger: Ledger) -> tuple[Failure, ...]:
    """Judge whose certificates vouched for the evidence."""
    foreign = tuple(sorted(evidence.anchors - roots.fingerprints))
    what = "every certificate that vouched for something is one that this policy pins"
    return ledger.judge("P6", what, expected=(), got=foreign, condition=not foreign)


@keeps("P6")
def judge_other_anchors(evidence: VerifiedEvidence, roots: Roots, ledger: Ledger) -> tuple[Failure, ...]:
    """Judge them where a policy, whose ledger this is, did not do so itself."""
    return () if "P6" in {row[0] for row in ledger.rows} else judge_anchors(evidence, roots, ledger)
