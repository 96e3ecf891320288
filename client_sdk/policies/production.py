"""The default policy: confidential VMs alone, on hardware that its makers vouch for today.

(P1) A CPU TEE keeps the VM's memory from its host, and nothing was simulated. (P6) Every anchor that vouched for
something is one of this policy's.
(P2 to P4) The release pins firmware, ACPI tables and what the CPU measured. (T11.7) Makers' statements are fresh.
Then by what the evidence is: the cloud's clause (K3, L8; T1, T5), the CPU's (T3 to T5, T10, T11; T7, T8, T11), the
GPUs' (G1, G3, G4).

What a TEE cannot promise, it does not: see docs/trust.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from client_sdk.clauses.expected import AnyValue
from client_sdk.errors import Failure
from client_sdk.evidence import AZURE
from client_sdk.policies.anchors import judge_anchors
from client_sdk.policies.cloud import AzureCloud, GoogleCloud, NotTaken
from client_sdk.policies.gpu import AS_RELEASED, NvidiaGpu
from client_sdk.policies.interface import Policy
from client_sdk.policies.release import MatchesRelease, MaxAge
from client_sdk.policies.tee import CloudVouchedBoot, SevSnp, Tdx
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots, production_roots
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.snp import SnpFacts

_WHOSE = AnyValue("the image is what counts, not who rents the machine")
ANYBODYS = GoogleCloud(project=_WHOSE, zones=_WHOSE)
ANY_GPUS = NvidiaGpu(count=AS_RELEASED)


@dataclass(frozen=True, slots=True)
class Production:
    """What a client takes when nothing else is said; each field is a clause that may be sharpened.

    Where one of ``google`` and ``azure`` is given, the other cloud is not taken; by default both are, whoever's the VM
    is. ``roots`` are the makers' own. Others are taken as they are given, with what they vouch for.
    """

    google: GoogleCloud | NotTaken | None = None
    azure: AzureCloud | NotTaken | None = None
    snp: SevSnp = field(default_factory=SevSnp)
    tdx: Tdx = field(default_factory=Tdx)
    gpu: NvidiaGpu = ANY_GPUS
    release: MatchesRelease = field(default_factory=MatchesRelease)
    max_age: MaxAge = field(default_factory=MaxAge)
    roots: Roots = field(default_factory=production_roots, repr=False)
    label: str = "production"

    def __post_init__(self) -> None:
        named = self.google is not None or self.azure is not None
        object.__setattr__(self, "google", self.google or (NotTaken() if named else ANYBODYS))
        object.__setattr__(self, "azure", self.azure or (NotTaken() if named else AzureCloud()))
        ages = self.roots.ages.shortest(self.max_age.ages)  # statements are chosen by the ages that are judged
        object.__setattr__(self, "roots", replace(self.roots, ages=ages))

    @property
    def name(self) -> str:
        """What the policy is called: every choice that is not production's stands in it."""
        words = [self.label]
        words += [clause.name for clause in (self.snp, self.gpu, self.release) if "unsafe" in clause.name]
        if isinstance(self.snp.boot, CloudVouchedBoot):
            words.append(self.snp.name)
        return "; ".join(dict.fromkeys(words))

    @keeps("P1")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge by every clause that is about this evidence."""
        tee, got = evidence.tee, f"{evidence.platform}, {evidence.tee.kind if evidence.tee else 'no CPU TEE'}"
        confidential = tee is not None and not evidence.simulated
        failures = ledger.judge(
            "P1",
            "the platform is confidential, and not simulated",
            expected="a CPU TEE, under the roots of its makers",
            got=f"{got}, simulated" if evidence.simulated else got,
            condition=confidential,
        )
        if not confidential:
            return failures + self.release.judge(evidence, measurement, ledger)
        failures += judge_anchors(evidence, self.roots, ledger)
        return failures + tuple(
            [one for clause in self.clauses(evidence) for one in clause.judge(evidence, measurement, ledger)]
        )

    def clauses(self, evidence: VerifiedEvidence) -> tuple[Policy, ...]:
        """Return the clauses that are about evidence with a CPU's report; P1 and P6 are judged besides."""
        cloud = (self.azure if evidence.platform == AZURE else self.google) or NotTaken()
        is_snp = evidence.tee is not None and isinstance(evidence.tee.report, SnpFacts)
        cpu: Policy = self.snp if is_snp else self.tdx
        return (self.release, self.max_age, cloud, cpu, self.gpu)
