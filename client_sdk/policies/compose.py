"""Policies made of policies: all of them, or one of several.

(R4) An empty set is refused when it is made: it would take everything, or nothing, by mistake.
(D2) Simulated and production policies are not mixed: their roots stay apart.
(P7) Of alternatives, one holds. Where none does, what fails of the one that came closest is reported, with the names of
all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from client_sdk.errors import Failure, PolicyError
from client_sdk.policies.anchors import judge_other_anchors
from client_sdk.policies.interface import Policy
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots, merged
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when each of its policies holds. Their anchors are taken together, the shortest of their ages count.

    Raises:
        PolicyError: R4, there is none; D2, some are simulated and some are not.
    """

    policies: tuple[Policy, ...]
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "policies", tuple(self.policies))
        object.__setattr__(self, "roots", _roots(self.policies, "AllOf"))

    @property
    def name(self) -> str:
        """The names of all."""
        return " and ".join([policy.name for policy in self.policies])

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Return every failure of every policy."""
        return tuple([one for policy in self.policies for one in policy.judge(evidence, measurement, ledger)])


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when one of its policies holds. Evidence is verified under the anchors of all, the shortest ages count.

    An alternative holds only where its own anchors vouched (P6), not those of its neighbours.

    Raises:
        PolicyError: R4, there is none; D2, some are simulated and some are not.
    """

    policies: tuple[Policy, ...]
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "policies", tuple(self.policies))
        object.__setattr__(self, "roots", _roots(self.policies, "AnyOf"))

    @property
    def name(self) -> str:
        """The names of all."""
        return "one of: " + "; ".join([policy.name for policy in self.policies])

    @keeps("P7")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Return nothing when one holds, else what fails of the closest one."""
        closest: tuple[int, Ledger, tuple[Failure, ...], str] | None = None
        for policy in self.policies:
            tried = Ledger()
            failures = policy.judge(evidence, measurement, tried)
            failures += judge_other_anchors(evidence, policy.roots, tried)
            if closest is None or len(failures) < closest[0]:
                closest = len(failures), tried, failures, policy.name
            if not failures:
                break
        if closest is None:  # it cannot be made empty
            raise AssertionError
        count, rows, failures, name = closest
        ledger.rows += rows.rows
        return failures + ledger.judge(
            "P7",
            "one of the policy's alternatives holds",
            expected=tuple([policy.name for policy in self.policies]),
            got=name if not count else f"none; the closest is {name}",
            condition=not count,
        )


@keeps("R4")
def _roots(policies: tuple[Policy, ...], kind: str) -> Roots:
    if not policies:
        raise PolicyError((Failure(f"R4: a policy made of policies has some ({kind})", "at least one", "none"),))
    return merged([policy.roots for policy in policies])
