"""What a release has to pin, and how old makers' statements may be.

``accept.py`` compares everything that a release states, whatever the policy is; these clauses demand that it states
enough, and that verification used limits as short as the policy's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from client_sdk.ages import PRODUCTION, Ages
from client_sdk.errors import EvidenceError, Failure
from client_sdk.given import require
from client_sdk.policies.lockdown import judge_lockdown
from client_sdk.policies.unsafe import UnsafeUnpinned
from client_sdk.release import Measurement
from client_sdk.report import Ledger, Phrase
from client_sdk.roots import Roots, production_roots
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence


@dataclass(frozen=True, slots=True)
class MatchesRelease:
    """The release leaves nothing open that could run code in the VM.

    (P2) It lists the firmware's PCR 0. (P3) It lists the ACPI tables, or PCR 1 where no log tells of them. (P4) It
    lists what the CPU measured at launch: the cloud's firmware (where a paravisor was launched, that is rule T5.6).
    (P9) It is of an image without a console, whatever else may be open.

    Raises:
        EvidenceError: ``unpinned`` is of another type.
    """

    unpinned: UnsafeUnpinned | None = None

    def __post_init__(self) -> None:
        if not (self.unpinned is None or isinstance(self.unpinned, UnsafeUnpinned)):
            raise EvidenceError("policy.unpinned", 'expected None or UnsafeUnpinned("reason")')

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "as released" + (", unsafe: what is unpinned may be anything" if self.unpinned else "")

    @property
    def roots(self) -> Roots:
        """The makers' own."""
        return production_roots()

    @keeps("P2", "P3", "P4")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the release, not the evidence."""
        open_anyway, listed = self.unpinned is not None, len(measurement.acpi_allowed)
        expected = Phrase(("anything:", self.unpinned.why)) if self.unpinned else "an allow-list in the release"
        tables = listed or 1 in dict(measurement.pcrs)
        if self.unpinned is not None:
            ledger.opt_out("that the release pins what runs", self.unpinned.why)
        failures = ledger.judge(
            "P2",
            "the release names the firmware that it allows",
            expected=expected,
            got=f"{len(measurement.pcr0_allowed)} values",
            condition=measurement.pcr0_allowed or open_anyway,
        ) + ledger.judge(
            "P3",
            "the release names the ACPI tables that it allows",
            expected=expected,
            got=f"{listed} values",
            condition=tables or open_anyway,
        )
        failures += judge_lockdown(measurement, ledger)
        if evidence.tee is None or evidence.tee.hcl is not None:
            return failures
        launched = len(measurement.launch_measurements)
        return failures + ledger.judge(
            "P4",
            "the release names the launch measurements that it allows",
            expected=expected,
            got=f"{launched} values",
            condition=launched or open_anyway,
        )


@dataclass(frozen=True, slots=True)
class MaxAge:
    """Makers' statements were held to limits no longer than these, each besides its own dates (rule T11).

    Raises:
        EvidenceError: ``ages`` is of another type.
    """

    ages: Ages = PRODUCTION

    def __post_init__(self) -> None:
        remedy = "write MaxAge(Ages(ocsp=timedelta(days=1)))"
        require(self.ages, Ages, "policy.max_age.ages", expected="limits, as Ages(…)", remedy=remedy)

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "fresh collateral"

    @property
    def roots(self) -> Roots:
        """The makers' own, with these limits: evidence is verified by the shortest of a policy's."""
        return replace(production_roots(), ages=self.ages)

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge what the evidence was verified with."""
        _ = measurement
        return _judge_ages(evidence, self.ages, ledger)


@keeps("T11.7")
def _judge_ages(evidence: VerifiedEvidence, ages: Ages, ledger: Ledger) -> tuple[Failure, ...]:
    used, names = evidence.roots.ages, [field.name for field in fields(Ages)]
    longer = tuple([name for name in names if getattr(used, name) > getattr(ages, name)])
    what = "makers' statements were held to limits as short as the policy's"
    return ledger.judge("T11.7", what, expected=(), got=longer, condition=not longer)


def judge_other_ages(evidence: VerifiedEvidence, ages: Ages, ledger: Ledger) -> tuple[Failure, ...]:
    """Judge the limits of age where makers stated something and the policy, whose ledger this is, did not look."""
    judged = evidence.tee is None or "T11.7" in {row[0] for row in ledger.rows}
    return () if judged else _judge_ages(evidence, ages, ledger)
