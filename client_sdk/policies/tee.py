"""What a CPU's report must say: debug off, firmware and microcode not outdated, nothing revoked.

(P1.snp, P1.tdx) The CPU is of the kind that the policy is about. The rest is in ``clauses/snp.py`` and
``clauses/tdx.py``, with the values of production as defaults here: leaving a parameter out never skips a check.
(T10.1) Where hardware names no image (SEV-SNP on Google Cloud), an explicit :class:`CloudVouchedBoot` takes the cloud's
word for it.

Floors live in the client: a release may raise them by what it measures, never lower them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from client_sdk.clauses.expected import AnyValue, Expectation, MustBeZero, Setting
from client_sdk.clauses.snp import (
    SnpDenyList,
    SnpGivens,
    SnpGuest,
    SnpPlatform,
    SnpRevocation,
    SnpSigningKey,
)
from client_sdk.clauses.tdx import (
    Attributes,
    CrlFloor,
    DenyList,
    EvaluationFloor,
    Grace,
    OwnerRegisters,
    TcbStatus,
)
from client_sdk.errors import EvidenceError, Failure, FieldError
from client_sdk.given import require, require_all, require_reason
from client_sdk.parse.snp import FirmwareVersion, Product, Tcb
from client_sdk.policies.unsafe import UnsafeWithoutRevocation
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots, production_roots
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.snp import VCEK, SnpFacts
from client_sdk.verify.tdx_collateral import TdxFacts

# The levels that AMD's updates of 2025 brought to clouds (microcode signing and memory aliases among their reasons).
MIN_TCB = {
    Product.MILAN: Tcb(fmc=0, bootloader=4, tee=0, snp=24, microcode=219),
    Product.GENOA: Tcb(fmc=0, bootloader=10, tee=0, snp=23, microcode=84),
    Product.TURIN: Tcb(fmc=1, bootloader=1, tee=1, snp=4, microcode=81),
}
MIN_FIRMWARE = FirmwareVersion(1, 55, 0)
MIN_EVALUATION = EvaluationFloor(tcb_info=17, qe_identity=17)
IMAGE_IS_CLOUDS_WORD = "image: the cloud's word"
TEES = {"snp": "sev-snp", "tdx": "tdx"}
"""What policies call the CPU's TEE, by the kind of its report."""
# A list is needed, of whatever number: who keeps the highest that was seen, gives it.
ANY_CRL, ANY_CRLS = SnpRevocation(required=True, highest_seen=0), CrlFloor(pck=0, root=0)
NO_CHIP, NO_PLATFORM = SnpDenyList(frozenset(), frozenset(), frozenset()), DenyList(frozenset())
_ZERO = MustBeZero()
_BY_LAUNCH = AnyValue("the release names the launch measurement")
_BY_INTEL = AnyValue("Intel states who signed the TDX module, and its level (T7.17, T7.18, T7.21)")
NOTHING_GIVEN = OwnerRegisters(
    mr_seam=_BY_INTEL, mr_config_id=_ZERO, mr_owner=_ZERO, mr_owner_config=_ZERO, mr_service_td=_ZERO
)

_OF_TDX: Mapping[str, type] = {
    "evaluation": EvaluationFloor,
    "revocation": CrlFloor,
    "deny": DenyList,
    "attributes": Attributes,
    "registers": OwnerRegisters,
}


@dataclass(frozen=True, slots=True)
class HardwareVouchedBoot:
    """Takes an image only where hardware measured it, or firmware that hardware measured."""


@dataclass(frozen=True, slots=True)
class CloudVouchedBoot:
    """Takes Google's word for the image on SEV-SNP, whose launch measurement covers Google's firmware alone (T10).

    Memory is still encrypted against the host; *which* code owns the TLS key, Google's virtual TPM says.

    Raises:
        EvidenceError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        require_reason(self.why, "policy.cloud_vouched_boot")


@dataclass(frozen=True, slots=True)
class SevSnp:
    """An AMD SEV-SNP guest. A product line without a floor in ``min_tcb`` is refused.

    ``revocation`` is the lowest number of AMD's list that is taken: the highest that you saw.

    Raises:
        EvidenceError: a revocation list that is not required, without :class:`UnsafeWithoutRevocation`; a field of
            another type.
    """

    min_tcb: Mapping[Product, Tcb] = field(default_factory=lambda: dict(MIN_TCB))
    min_firmware: FirmwareVersion = MIN_FIRMWARE
    boot: HardwareVouchedBoot | CloudVouchedBoot = field(default_factory=HardwareVouchedBoot)
    revocation: SnpRevocation | UnsafeWithoutRevocation = ANY_CRL
    deny: SnpDenyList = NO_CHIP
    smt: Setting = Setting.EITHER
    single_socket: Setting = Setting.EITHER
    alias_check: Setting = Setting.REQUIRED
    ciphertext_hiding: Setting = Setting.EITHER
    host_data: Expectation = _ZERO
    id_key_digest: Expectation = _BY_LAUNCH
    author_key_digest: Expectation = _ZERO

    def __post_init__(self) -> None:
        self._require_floors()
        known = self.revocation
        if not isinstance(known, UnsafeWithoutRevocation) and not (isinstance(known, SnpRevocation) and known.required):
            message = 'AMD\'s list is required; who goes without it says UnsafeWithoutRevocation("reason")'
            raise EvidenceError("policy.sev_snp.revocation", message)
        for setting in ("smt", "single_socket", "alias_check", "ciphertext_hiding"):
            if not isinstance(getattr(self, setting), Setting):
                raise EvidenceError(f"policy.sev_snp.{setting}", "expected Setting.REQUIRED, FORBIDDEN or EITHER")
        for value in ("host_data", "id_key_digest", "author_key_digest"):
            if not isinstance(getattr(self, value), Expectation):
                raise EvidenceError(f"policy.sev_snp.{value}", "expected OneOf, MustBeZero or AnyValue")
        if not isinstance(self.boot, (HardwareVouchedBoot, CloudVouchedBoot)):
            raise EvidenceError("policy.sev_snp.boot", 'expected HardwareVouchedBoot() or CloudVouchedBoot("reason")')
        expected, remedy = "chips and keys to deny", "write SnpDenyList(chips, serials, certificates)"
        require(self.deny, SnpDenyList, "policy.sev_snp.deny", expected=expected, remedy=remedy)

    def _require_floors(self) -> None:
        floors, where = self.min_tcb, "policy.sev_snp.min_tcb"
        remedy = "write {Product.GENOA: Tcb(…)}, or leave it out for the client's own floors"
        require(floors, Mapping, where, expected="floors by product line", remedy=remedy)
        if not all(isinstance(line, Product) and isinstance(floor, Tcb) for line, floor in floors.items()):
            raise FieldError(where, "floors (Tcb) by product line (Product)", "something else in it", remedy)
        version, remedy = self.min_firmware, "write FirmwareVersion(1, 55, 0)"
        require(version, FirmwareVersion, "policy.sev_snp.min_firmware", expected="a version", remedy=remedy)

    @property
    def name(self) -> str:
        """What the policy is called."""
        words = ["SEV-SNP"]
        if isinstance(self.boot, CloudVouchedBoot):
            words.append(IMAGE_IS_CLOUDS_WORD)
        if isinstance(self.revocation, UnsafeWithoutRevocation):
            words.append("unsafe: no revocation list")
        return ", ".join(words)

    @property
    def roots(self) -> Roots:
        """The makers' own."""
        return production_roots()

    @keeps("P1.snp")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the report by every clause."""
        _ = measurement
        tee = evidence.tee
        if tee is None or not isinstance(tee.report, SnpFacts):
            got = tee.kind if tee else "none"
            return ledger.judge("P1.snp", "the CPU TEE is SEV-SNP", expected="snp", got=got, condition=False)
        revocation = self.revocation
        if isinstance(revocation, UnsafeWithoutRevocation):
            ledger.opt_out("AMD's revocation list", revocation.why)
            revocation = SnpRevocation(required=False, highest_seen=0, why=revocation.why)
        clauses = (
            SnpSigningKey(frozenset({VCEK}), AnyValue("a VLEK is not taken"), masked_chip_id=False),
            SnpGuest(self.smt, self.single_socket, (0, 0), frozenset({0})),
            SnpPlatform(self.alias_check, self.ciphertext_hiding, self.min_firmware, self.min_tcb),
            SnpGivens(self.host_data, self.id_key_digest, self.author_key_digest),
            revocation,
            self.deny,
        )
        failures = tuple([failure for clause in clauses for failure in clause.judge(tee.report, ledger)])
        return failures if tee.hcl is not None else failures + self._boot(ledger)

    @keeps("T10.1")
    def _boot(self, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge who vouches for the image, where no paravisor does that the CPU measured (Azure's)."""
        taken = isinstance(self.boot, CloudVouchedBoot)
        if isinstance(self.boot, CloudVouchedBoot):
            ledger.opt_out("hardware's word for the image (there is the cloud's)", self.boot.why)
        return ledger.judge(
            "T10.1",
            "hardware names the image, or the policy takes the cloud's word (CloudVouchedBoot; cloud_vouched_boot)",
            expected=(IMAGE_IS_CLOUDS_WORD, self.boot.why) if isinstance(self.boot, CloudVouchedBoot) else "hardware",
            got=IMAGE_IS_CLOUDS_WORD,
            condition=taken,
        )


@dataclass(frozen=True, slots=True)
class Tdx:
    """An Intel TDX guest whose platform Intel rates UpToDate. Another status is taken by a dated :class:`Grace`.

    Raises:
        EvidenceError: a field of another type, which would judge by mistake.
    """

    accepted_tcb: tuple[Grace, ...] = ()
    evaluation: EvaluationFloor = MIN_EVALUATION
    revocation: CrlFloor = ANY_CRLS
    deny: DenyList = NO_PLATFORM
    attributes: Attributes = field(default_factory=Attributes)
    registers: OwnerRegisters = NOTHING_GIVEN

    def __post_init__(self) -> None:
        where, remedy = "policy.tdx.accepted_tcb", "write accepted_tcb=(Grace(status, until),)"
        require_all(self.accepted_tcb, Grace, where, expected="a tuple of Grace", remedy=remedy)
        for name, kind in _OF_TDX.items():
            expected, remedy = f"an object {kind.__name__}", f"write {name}={kind.__name__}(…), or leave it out"
            require(getattr(self, name), kind, f"policy.tdx.{name}", expected=expected, remedy=remedy)

    @property
    def name(self) -> str:
        """What the policy is called."""
        return ", ".join(["TDX", *[f"grace for {grace.status}" for grace in self.accepted_tcb]])

    @property
    def roots(self) -> Roots:
        """The makers' own."""
        return production_roots()

    @keeps("P1.tdx")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the quote by every clause; what booted is compared with the release (``clauses/launch.py``)."""
        _ = measurement
        facts = evidence.tee.report if evidence.tee else None
        if not isinstance(facts, TdxFacts):
            got = evidence.tee.kind if evidence.tee else "none"
            return ledger.judge("P1.tdx", "the CPU TEE is TDX", expected="tdx", got=got, condition=False)
        clauses = (
            TcbStatus(self.accepted_tcb),
            self.evaluation,
            self.revocation,
            self.deny,
            self.attributes,
            self.registers,
        )
        return tuple([failure for clause in clauses for failure in clause.judge(facts, ledger)])
