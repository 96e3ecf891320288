"""The default policy: confidential VMs alone, on hardware that its makers vouch for today.

(P1) A CPU TEE keeps the VM's memory from its host, and nothing was simulated. (P6) Every anchor that vouched for
something is one of this policy's. (P8) The TEE is of a kind that the policy takes.
(P2 to P4, P9) The release pins firmware, ACPI tables and what the CPU measured, and is of a locked image.
(T11.7) Makers' statements are fresh.
Then by what the evidence is: the cloud's clause (K3, L8; T1, T5), the CPU's (T3 to T5, T10, T11; T7, T8, T11), the
GPUs' (G1, G3, G4).

What a TEE cannot promise, it does not: see docs/trust.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from client_sdk.clauses.expected import AnyValue
from client_sdk.errors import Failure, FieldError
from client_sdk.evidence import AZURE, GCP
from client_sdk.given import require, told
from client_sdk.policies.anchors import judge_anchors
from client_sdk.policies.cloud import AzureCloud, GoogleCloud, NotTaken
from client_sdk.policies.gpu import AS_RELEASED, NvidiaGpu
from client_sdk.policies.interface import Policy
from client_sdk.policies.release import MatchesRelease, MaxAge
from client_sdk.policies.tee import TEES, CloudVouchedBoot, SevSnp, Tdx
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots, production_roots
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.snp import SnpFacts

_WHOSE = AnyValue("the image is what counts, not who rents the machine")
ANYBODYS = GoogleCloud(project=_WHOSE, zones=_WHOSE)
ANY_GPUS = NvidiaGpu(count=AS_RELEASED)
ANY_TEE = frozenset(TEES.values())
_FIELDS: Mapping[str, tuple[type, str]] = {
    "google": (GoogleCloud, 'GoogleCloud(project="my-project", zones=("us-central1-a",))'),
    "azure": (AzureCloud, "AzureCloud()"),
    "snp": (SevSnp, "SevSnp()"),
    "tdx": (Tdx, "Tdx()"),
    "gpu": (NvidiaGpu, "NvidiaGpu(count=1)"),
    "release": (MatchesRelease, "MatchesRelease()"),
    "max_age": (MaxAge, "MaxAge(Ages(…))"),
    "roots": (Roots, "Roots(simulated=False, …)"),
    "label": (str, '"a name"'),
}


@dataclass(frozen=True, slots=True)
class Production:
    """What a client takes when nothing else is said; each field is a clause that may be sharpened.

    Where one of ``google`` and ``azure`` is given, the other cloud is not taken; by default both are, whoever's the VM
    is. ``tee`` are the kinds of CPU TEE that are taken; ``snp`` and ``tdx`` say how each is judged where it is there,
    and demand neither. ``roots`` are the makers' own. Others are taken as they are given, with what they vouch for.

    Raises:
        EvidenceError: a field of another type, or a kind of TEE that there is not.
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
    tee: frozenset[str] = ANY_TEE

    def __post_init__(self) -> None:
        self._require_fields()
        named = self.google is not None or self.azure is not None
        object.__setattr__(self, "google", self.google or (NotTaken(AZURE) if named else ANYBODYS))
        object.__setattr__(self, "azure", self.azure or (NotTaken(GCP) if named else AzureCloud()))
        ages = self.roots.ages.shortest(self.max_age.ages)  # statements are chosen by the ages that are judged
        object.__setattr__(self, "roots", replace(self.roots, ages=ages))

    def _require_fields(self) -> None:
        for name, (kind, example) in _FIELDS.items():
            kinds = (kind, NotTaken, type(None)) if kind in {GoogleCloud, AzureCloud} else kind
            expected = f"an object {kind.__name__}"
            remedy = f"write {name}={example}, or leave it out"
            require(getattr(self, name), kinds, f"policy.{name}", expected=expected, remedy=remedy)
        if not isinstance(self.tee, frozenset) or not self.tee or not self.tee <= ANY_TEE:
            remedy = 'write tee=frozenset({"tdx"}), or leave it out'
            expected = f"a frozenset of one or both of {', '.join(sorted(ANY_TEE))}"
            raise FieldError("policy.tee", expected, told(self.tee), remedy)

    @property
    def name(self) -> str:
        """What the policy is called: every choice that is not production's stands in it."""
        words = [self.label]
        words += [clause.name for clause in (self.snp, self.gpu, self.release) if "unsafe" in clause.name]
        if isinstance(self.snp.boot, CloudVouchedBoot):
            words.append(self.snp.name)
        if self.tee != ANY_TEE:
            words.append(f"{', '.join(sorted(self.tee))} alone")
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
        failures += judge_anchors(evidence, self.roots, ledger) + self._judge_tee(evidence, ledger)
        return failures + tuple(
            [one for clause in self.clauses(evidence) for one in clause.judge(evidence, measurement, ledger)]
        )

    @keeps("P8")
    def _judge_tee(self, evidence: VerifiedEvidence, ledger: Ledger) -> tuple[Failure, ...]:
        kind = TEES[evidence.tee.kind] if evidence.tee else "none"
        what, taken = "the CPU's TEE is of a kind that the policy takes", tuple(sorted(self.tee))
        return ledger.judge("P8", what, expected=taken, got=kind, condition=kind in self.tee)

    def clauses(self, evidence: VerifiedEvidence) -> tuple[Policy, ...]:
        """Return the clauses that are about evidence with a CPU's report; P1, P6 and P8 are judged besides."""
        cloud = (self.azure if evidence.platform == AZURE else self.google) or NotTaken("none")
        is_snp = evidence.tee is not None and isinstance(evidence.tee.report, SnpFacts)
        cpu: Policy = self.snp if is_snp else self.tdx
        return (self.release, self.max_age, cloud, cpu, self.gpu)
