"""Policies made of policies: all of them, or one of several.

(R4) An empty set is refused when it is made: it would take everything, or nothing, by mistake.
(D2) Simulated and production policies are not mixed: their roots stay apart.
(P7) Of alternatives, one holds. Where none does, what fails of the one that came closest is reported, with the names of
all; of several that fail in as many clauses, one that is about this cloud and CPU came closer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from client_sdk.errors import Failure, PolicyError
from client_sdk.given import require
from client_sdk.policies.anchors import judge_other_anchors
from client_sdk.policies.interface import Policy, require_policy
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots, merged
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence

# Rules that say: this policy is about another cloud, or another CPU.
_ELSEWHERE = frozenset({"P1", "P1.snp", "P1.tdx", "P5", "P8"})


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when each of its policies holds. Their anchors are taken together, the shortest of their ages count.

    Raises:
        EvidenceError: one policy in place of a tuple, or what is none.
        PolicyError: R4, there is none; D2, some are simulated and some are not.
    """

    policies: tuple[Policy, ...]
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
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
        EvidenceError: one policy in place of a tuple, or what is none.
        PolicyError: R4, there is none; D2, some are simulated and some are not.
    """

    policies: tuple[Policy, ...]
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", _roots(self.policies, "AnyOf"))

    @property
    def name(self) -> str:
        """The names of all."""
        return "one of: " + "; ".join([policy.name for policy in self.policies])

    @keeps("P7")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Return nothing when one holds, else what fails of the closest one."""
        closest: tuple[tuple[int, int], Ledger, tuple[Failure, ...], str] | None = None
        for policy in self.policies:
            tried = Ledger()
            failures = policy.judge(evidence, measurement, tried)
            failures += judge_other_anchors(evidence, policy.roots, tried)
            distance = _distance(failures)
            if closest is None or distance < closest[0]:
                closest = distance, tried, failures, policy.name
            if not failures:
                break
        if closest is None:  # it cannot be made empty
            raise AssertionError
        (count, _), tried, failures, name = closest
        ledger.add(tried)
        return failures + ledger.judge(
            "P7",
            "one of the policy's alternatives holds",
            expected=tuple([policy.name for policy in self.policies]),
            got=name if not count else f"none; the closest is {name}",
            condition=not count,
        )


def _distance(failures: tuple[Failure, ...]) -> tuple[int, int]:
    """Return how far from holding a policy is: by its failures, and by those that say that it is about another VM."""
    return len(failures), sum(failure.rule in _ELSEWHERE for failure in failures)


@keeps("R4")
def _roots(policies: tuple[Policy, ...], kind: str) -> Roots:
    require(policies, tuple, f"{kind}.policies", expected="a tuple of policies", remedy=f"write {kind}((policy,))")
    for i, policy in enumerate(policies):
        require_policy(policy, f"{kind}.policies[{i}]")
    if not policies:
        raise PolicyError((Failure(f"R4: a policy made of policies has some ({kind})", "at least one", "none"),))
    return merged([policy.roots for policy in policies])
