"""What is acceptable of a genuine TDX quote: clauses over :class:`client_sdk.verify.tdx_collateral.TdxFacts`.

(T7.20) Intel states a TCB level that the platform, its TDX module and its quoting enclave reach. (T7.21) The status is
UpToDate, or one of a dated grace. (T7.22, T7.23) Neither set of evaluation data is older than the floors.
(T8.5) DEBUG and the rest of the debug group are 0, (T8.6) MIGRATABLE is 0, (T8.7) PERFMON is 0, (T8.8) SEPT_VE_DISABLE
is 1, (T8.9) no attribute is set that the policy does not allow.
(T8.10 to T8.19) Every measured value is one that the policy names, or zero, or explicitly anything.
(T9.1) Off Azure nothing that boots is "anything".
(T9.12) The events of RTMR0 whose digest is of bytes that the log does not carry are in the platform's published list.
(T11.4, T11.5) The numbers of the revocation lists do not go back. (T11.6) The platform is on no deny-list.

Each clause reports all that fails. A policy that leaves a clause out is composed elsewhere; the clauses themselves have
no defaults that skip something.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from client_sdk.clauses.expected import AnyValue, Expectation, OneOf, require_ids
from client_sdk.errors import Failure, FieldError
from client_sdk.given import require, require_instant, require_number, told
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify import tdx
from client_sdk.verify.tdx_collateral import TdxFacts
from client_sdk.verify.tdx_log import LogFacts
from client_sdk.verify.tdx_tcb import NO_MATCH, REVOKED, STATUSES, UP_TO_DATE

PPID_SIZE = 16
_DEBUG_GROUP = 0xFF
ALLOWED_ATTRIBUTES = tdx.SEPT_VE_DISABLE | tdx.LASS | tdx.PKS | tdx.KEY_LOCKER
GRACED = frozenset(STATUSES) - {UP_TO_DATE, NO_MATCH, REVOKED}


@dataclass(frozen=True, slots=True)
class Grace:
    """One status other than UpToDate that is accepted until an instant, written down by who takes the risk.

    Never for a platform that Intel revoked or that no level of Intel's covers.

    Raises:
        EvidenceError: a status that no grace is possible for, or an instant of no time zone.
    """

    status: str
    until: datetime

    def __post_init__(self) -> None:
        if not isinstance(self.status, str) or self.status not in GRACED:
            expected = f"a status that a grace is possible for: {', '.join(sorted(GRACED))}"
            raise FieldError("policy.tdx.grace.status", expected, told(self.status), "choose one of these")
        require_instant(self.until, "policy.tdx.grace.until")


@dataclass(frozen=True, slots=True)
class TcbStatus:
    """The status that Intel gives the platform; without a grace, UpToDate alone."""

    graces: tuple[Grace, ...] = ()

    @keeps("T7.20", "T7.21")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the status of the whole."""
        status, now = facts.tcb.status, facts.quote.verified_at
        parts = tuple(
            f"{name} {part}"
            for name, part in (
                ("platform", facts.tcb.platform_status),
                ("TDX module", facts.tcb.module_status),
                ("quoting enclave", facts.tcb.qe_status),
            )
            if part
        )
        matched = all(not part.endswith(NO_MATCH) for part in parts)
        what = "Intel states a TCB level for this platform"
        failures = ledger.judge("T7.20", what, expected="a level", got=parts, condition=matched)
        wanted = (UP_TO_DATE, *(grace.status for grace in self.graces if now <= grace.until))
        return failures + ledger.judge(
            "T7.21",
            "the platform's TCB status is acceptable",
            expected=wanted,
            got=(status, *facts.tcb.advisories),
            condition=status in wanted,
        )


@dataclass(frozen=True, slots=True)
class EvaluationFloor:
    """The lowest tcbEvaluationDataNumber that is accepted: the highest that this client saw, or a release's.

    Raises:
        EvidenceError: what is no number.
    """

    tcb_info: int
    qe_identity: int

    def __post_init__(self) -> None:
        require_number(self.tcb_info, "policy.tdx.evaluation.tcb_info")
        require_number(self.qe_identity, "policy.tdx.evaluation.qe_identity")

    @keeps("T7.22", "T7.23")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge both numbers."""
        return _floor(
            "T7.22",
            "the number of the TCB info's evaluation data does not go back",
            self.tcb_info,
            facts.tcb.tcb_evaluation,
            ledger,
        ) + _floor(
            "T7.23",
            "the number of the QE identity's evaluation data does not go back",
            self.qe_identity,
            facts.tcb.qe_evaluation,
            ledger,
        )


@dataclass(frozen=True, slots=True)
class CrlFloor:
    """The lowest numbers of the two revocation lists that are accepted: the highest that this client saw.

    Raises:
        EvidenceError: what is no number.
    """

    pck: int
    root: int

    def __post_init__(self) -> None:
        require_number(self.pck, "policy.tdx.revocation.pck")
        require_number(self.root, "policy.tdx.revocation.root")

    @keeps("T11.4", "T11.5")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge both numbers."""
        return _floor(
            "T11.4",
            "the number of the PCK revocation list does not go back",
            self.pck,
            facts.tcb.pck_crl_number,
            ledger,
        ) + _floor(
            "T11.5",
            "the number of the root's revocation list does not go back",
            self.root,
            facts.tcb.root_crl_number,
            ledger,
        )


@dataclass(frozen=True, slots=True)
class DenyList:
    """Platforms that are refused whatever Intel says, by PPID of 16 bytes.

    Raises:
        EvidenceError: a value of another type or size, which would deny nothing.
    """

    ppids: frozenset[bytes]

    def __post_init__(self) -> None:
        require_ids(self.ppids, (PPID_SIZE,), "policy.tdx.deny.ppids")

    @keeps("T11.6")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the platform."""
        ppid = facts.quote.pck.ppid
        what = "the platform is not on the deny-list"
        return ledger.judge("T11.6", what, expected="no PPID of the list", got=ppid, condition=ppid not in self.ppids)


@dataclass(frozen=True, slots=True)
class Attributes:
    """TD attributes: ``allowed`` are those that may be set. Debugging, migration and PERFMON never may.

    Raises:
        EvidenceError: what is no number.
    """

    allowed: int = ALLOWED_ATTRIBUTES

    def __post_init__(self) -> None:
        require_number(self.allowed, "policy.tdx.attributes.allowed", high=2**64 - 1)

    @keeps("T8.5", "T8.6", "T8.7", "T8.8", "T8.9")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge each attribute."""
        bits = facts.quote.body.attributes
        debug, other = bits & _DEBUG_GROUP, bits & ~(self.allowed | _DEBUG_GROUP | tdx.MIGRATABLE | tdx.PERFMON)
        sept = bits & tdx.SEPT_VE_DISABLE
        what = "the TD cannot be debugged or profiled"
        failures = ledger.judge("T8.5", what, expected=hex(0), got=hex(debug), condition=not debug)
        moved = bits & tdx.MIGRATABLE
        what = "the TD cannot be migrated"
        failures += ledger.judge("T8.6", what, expected=hex(0), got=hex(moved), condition=not moved)
        counts = bits & tdx.PERFMON
        what = "the TD has no performance counters"
        failures += ledger.judge("T8.7", what, expected=hex(0), got=hex(counts), condition=not counts)
        what = "the host cannot take private pages away unnoticed (SEPT_VE_DISABLE)"
        failures += ledger.judge("T8.8", what, expected=hex(tdx.SEPT_VE_DISABLE), got=hex(sept), condition=sept)
        what = "no other attribute is set than those allowed"
        return failures + ledger.judge("T8.9", what, expected=hex(0), got=hex(other), condition=not other)


@dataclass(frozen=True, slots=True)
class BootRegisters:
    """What booted. Each has to be written down; there is no default."""

    mr_td: Expectation
    rtmr0: Expectation
    rtmr1: Expectation
    rtmr2: Expectation
    rtmr3: Expectation

    @keeps("T8.11", "T8.12", "T8.13", "T8.14", "T8.15")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge each value."""
        body, add = facts.quote.body, ledger
        return (
            self.mr_td.judge("T8.11", "MRTD, the initial memory, is as expected", body.mr_td, add)
            + self.rtmr0.judge("T8.12", "RTMR0, the firmware's configuration, is as expected", body.rtmrs[0], add)
            + self.rtmr1.judge("T8.13", "RTMR1, what was booted, is as expected", body.rtmrs[1], add)
            + self.rtmr2.judge("T8.14", "RTMR2, what the system was given, is as expected", body.rtmrs[2], add)
            + self.rtmr3.judge("T8.15", "RTMR3, what the system measured, is as expected", body.rtmrs[3], add)
        )


@dataclass(frozen=True, slots=True)
class OwnerRegisters:
    """The TDX module, and what the TD's owner wrote when it was made. There is no default.

    Raises:
        EvidenceError: a bare value in place of what is expected of it.
    """

    mr_seam: Expectation
    mr_config_id: Expectation
    mr_owner: Expectation
    mr_owner_config: Expectation
    mr_service_td: Expectation

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            expected, remedy = "OneOf, MustBeZero or AnyValue", f'write {name}=OneOf((value,)), or AnyValue("reason")'
            require(getattr(self, name), Expectation, f"policy.tdx.registers.{name}", expected=expected, remedy=remedy)

    @keeps("T8.10", "T8.16", "T8.17", "T8.18", "T8.19")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge each value."""
        body, add = facts.quote.body, ledger
        return (
            self.mr_seam.judge("T8.10", "MRSEAM, the TDX module, is as expected", body.mr_seam, add)
            + self.mr_config_id.judge("T8.16", "MRCONFIGID is as expected", body.mr_config_id, add)
            + self.mr_owner.judge("T8.17", "MROWNER is as expected", body.mr_owner, add)
            + self.mr_owner_config.judge("T8.18", "MROWNERCONFIG is as expected", body.mr_owner_config, add)
            + self.mr_service_td.judge(
                "T8.19", "MRSERVICETD, the service TDs bound to it, is as expected", body.mr_service_td, add
            )
        )


@dataclass(frozen=True, slots=True)
class Registers:
    """Everything that a TD or its owner measured. Each has to be written down; there is no default."""

    mr_seam: Expectation
    mr_td: Expectation
    rtmr0: Expectation
    rtmr1: Expectation
    rtmr2: Expectation
    rtmr3: Expectation
    mr_config_id: Expectation
    mr_owner: Expectation
    mr_owner_config: Expectation
    mr_service_td: Expectation

    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge each value."""
        boot = BootRegisters(self.mr_td, self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3)
        owner = (self.mr_config_id, self.mr_owner, self.mr_owner_config, self.mr_service_td)
        return OwnerRegisters(self.mr_seam, *owner).judge(facts, ledger) + boot.judge(facts, ledger)


@dataclass(frozen=True, slots=True)
class PinnedBoot:
    """Registers of a TD that no paravisor stands for (off Azure): what boots is named, never "anything"."""

    registers: Registers | BootRegisters

    @keeps("T9.1")
    def judge(self, facts: TdxFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the policy itself, then the values."""
        named = {"MRTD": self.registers.mr_td, "RTMR1": self.registers.rtmr1, "RTMR2": self.registers.rtmr2}
        loose = [name for name, wanted in named.items() if not isinstance(wanted, OneOf)]
        loose += ["RTMR3"] if isinstance(self.registers.rtmr3, AnyValue) else []
        what = "the policy names MRTD, RTMR1 and RTMR2, and RTMR3 or zero for it"
        failures = ledger.judge("T9.1", what, expected=[], got=loose, condition=not loose)
        return failures + self.registers.judge(facts, ledger)


@dataclass(frozen=True, slots=True)
class ObservedEvents:
    """Digests that the platform's publisher saw in RTMR0: nobody can recompute some, or be sure what they are of.

    They are of the TD's memory map, of the firmware's configuration volume, of ACPI tables, boot variables and what
    authorized an image. All are listed, because an event's type is not in its digest.
    """

    digests: frozenset[bytes]

    @keeps("T9.12")
    def judge(self, log: LogFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the events of a log that replayed."""
        unknown = tuple(digest for digest in log.observed if digest not in self.digests)
        what = "what the firmware was given is in the published list"
        return ledger.judge("T9.12", what, expected=(), got=unknown, condition=not unknown)


def _floor(rule: str, what: str, floor: int, number: int, ledger: Ledger) -> tuple[Failure, ...]:
    return ledger.judge(rule, what, expected=f"at least {floor}", got=number, condition=number >= floor)
