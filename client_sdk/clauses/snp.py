"""What a policy may say about a verified SEV-SNP report. Every clause reports all of its failures; none has a default.

(T3.7) Key: a VLEK only where it is named, (T3.8) of a named provider; (T3.9) a chip id masked only where that is said;
(T3.10) the chip's key not masked.
(T4.8) Guest: no debugging and (T4.9) no migration agent, ever; (T4.10) SMT, (T4.11) single socket, (T4.12) least ABI.
(T4.13) VMPL exact.
(T4.14) Platform: alias check and (T4.15) ciphertext hiding; (T4.16) least version of the committed firmware.
(T4.17) TCB floors of the product on reported, (T4.18) committed and (T4.19) launch.
(T5.1) Measurement, (T5.2) host data, (T5.3) digests of the id key and (T5.4) of the author key; (T5.5) the author key's
flag says whether there is one.
(T11.amd.4) Revocation list required or not, and (T11.amd.5) its number never below the highest seen.
(T11.amd.6) Deny-list of chips, (T11.amd.7) of certificates' serial numbers and fingerprints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from client_sdk.clauses.expected import Expectation, Setting, require_ids
from client_sdk.errors import EvidenceError, Failure
from client_sdk.given import require, require_number
from client_sdk.parse import snp
from client_sdk.parse.snp import FirmwareVersion, Product, Tcb
from client_sdk.report import Ledger, Phrase
from client_sdk.rules import keeps
from client_sdk.verify.snp import VLEK, SnpFacts

CHIP_SIZES, FINGERPRINT_SIZE = (64, 8), 32


@dataclass(frozen=True, slots=True)
class SnpSigningKey:
    """Which keys may sign. ``kinds`` are of VCEK and VLEK; ``csp_id`` is a VLEK's provider, as the certificate has it.

    A masked chip id (VCEK only; a VLEK's report usually has none) leaves the signature as the only word on the chip.
    MASK_CHIP_KEY is never taken: the host then keeps the chip's key out of reports and derived keys.
    """

    kinds: frozenset[str]
    csp_id: Expectation
    masked_chip_id: bool

    @keeps("T3.7", "T3.8", "T3.9", "T3.10")
    def judge(self, facts: SnpFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the key that signed."""
        kind, vek = facts.signing_key, facts.vek
        failures = ledger.judge(
            "T3.7",
            "a key of this kind may sign",
            expected=tuple(sorted(self.kinds)),
            got=kind,
            condition=kind in self.kinds,
        )
        if kind == VLEK:
            failures += self.csp_id.judge(
                "T3.8", "the VLEK's cloud provider is as expected", vek.csp_id.encode(), ledger
            )
        else:
            setting = Setting.EITHER if self.masked_chip_id else Setting.FORBIDDEN
            failures += setting.judge(
                "T3.9", "the chip's id is masked only where the policy takes that", facts.chip_id_masked, ledger
            )
        masked = facts.report.flags & snp.FLAG_MASK_CHIP_KEY
        return failures + Setting.FORBIDDEN.judge(
            "T3.10", "the chip's key is not masked (MASK_CHIP_KEY)", masked, ledger
        )


@dataclass(frozen=True, slots=True)
class SnpGuest:
    """What the guest's launch policy may allow, and the privilege levels that the report may come from."""

    smt: Setting
    single_socket: Setting
    minimum_abi: tuple[int, int]
    vmpls: frozenset[int]

    @keeps("T4.8", "T4.9", "T4.10", "T4.11", "T4.12", "T4.13")
    def judge(self, facts: SnpFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the guest policy and the VMPL."""
        report, policy = facts.report, facts.report.policy
        return (
            Setting.FORBIDDEN.judge("T4.8", "the host cannot debug the guest", policy & snp.POLICY_DEBUG, ledger)
            + Setting.FORBIDDEN.judge(
                "T4.9", "no migration agent can move the guest", policy & snp.POLICY_MIGRATE_MA, ledger
            )
            + self.smt.judge("T4.10", "the guest policy's SMT is as expected", policy & snp.POLICY_SMT, ledger)
            + self.single_socket.judge(
                "T4.11", "the guest policy's single socket is as expected", policy & snp.POLICY_SINGLE_SOCKET, ledger
            )
            + ledger.judge(
                "T4.12",
                "the ABI version that the guest asks for is not below the least",
                expected=Phrase(("at least", self.minimum_abi)),
                got=report.policy_abi,
                condition=report.policy_abi >= self.minimum_abi,
            )
            + ledger.judge(
                "T4.13",
                "the privilege level (VMPL) that asked for the report is a permitted one",
                expected=tuple(sorted(self.vmpls)),
                got=report.vmpl,
                condition=report.vmpl in self.vmpls,
            )
        )


@dataclass(frozen=True, slots=True)
class SnpPlatform:
    """What the platform must say about itself. The floors are per product: a product without one is refused.

    ``alias_check`` is the boot-time check against memory that answers at two addresses (CVE-2024-21944); firmware
    before it leaves the bit zero. ``minimum_firmware`` is compared with the committed version, which cannot be undone.
    """

    alias_check: Setting
    ciphertext_hiding: Setting
    minimum_firmware: FirmwareVersion
    tcb_floors: Mapping[Product, Tcb]

    @keeps("T4.14", "T4.15", "T4.16", "T4.17", "T4.18", "T4.19")
    def judge(self, facts: SnpFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge PLATFORM_INFO, the firmware's version and its patch levels."""
        info, version = facts.report.platform_info, facts.report.committed_version
        failures = (
            self.alias_check.judge(
                "T4.14", "the memory alias check is as expected", info & snp.PLATFORM_ALIAS_CHECK, ledger
            )
            + self.ciphertext_hiding.judge(
                "T4.15", "ciphertext hiding is as expected", info & snp.PLATFORM_CIPHERTEXT_HIDING, ledger
            )
            + ledger.judge(
                "T4.16",
                "the committed firmware version is not below the least",
                expected=Phrase(("at least", self.minimum_firmware)),
                got=version,
                condition=version >= self.minimum_firmware,
            )
        )
        floor = self.tcb_floors.get(facts.vek.product)
        return (
            failures
            + _floor("T4.17", "the reported TCB is not below the product's floor", floor, facts.reported_tcb, ledger)
            + _floor("T4.18", "the committed TCB is not below the product's floor", floor, facts.committed_tcb, ledger)
            + _floor("T4.19", "the launch TCB is not below the product's floor", floor, facts.launch_tcb, ledger)
        )


@dataclass(frozen=True, slots=True)
class SnpGivens:
    """What a guest was launched with, and by whom; not what was launched."""

    host_data: Expectation
    id_key_digest: Expectation
    author_key_digest: Expectation

    @keeps("T5.2", "T5.3", "T5.4", "T5.5")
    def judge(self, facts: SnpFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge what the host launched the guest with."""
        report = facts.report
        enabled = bool(report.flags & snp.FLAG_AUTHOR_KEY)
        given = bool(report.author_key_digest.strip(b"\0"))
        return (
            self.host_data.judge("T5.2", "the host data is as expected", report.host_data, ledger)
            + self.id_key_digest.judge("T5.3", "the digest of the id key is as expected", report.id_key_digest, ledger)
            + self.author_key_digest.judge(
                "T5.4", "the digest of the author key is as expected", report.author_key_digest, ledger
            )
            + ledger.judge(
                "T5.5",
                "an author key's digest is there exactly when its flag is set",
                expected=enabled,
                got=given,
                condition=enabled is given,
            )
        )


@dataclass(frozen=True, slots=True)
class SnpIdentity:
    """What was launched, by whom. On Azure AnyValue is not enough: measurement or id key must be known there."""

    measurement: Expectation
    host_data: Expectation
    id_key_digest: Expectation
    author_key_digest: Expectation

    @keeps("T5.1")
    def judge(self, facts: SnpFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the launch measurement and what the host launched it with."""
        given = SnpGivens(self.host_data, self.id_key_digest, self.author_key_digest)
        launched = self.measurement.judge(
            "T5.1", "the launch measurement is as expected", facts.report.measurement, ledger
        )
        return launched + given.judge(facts, ledger)


@dataclass(frozen=True, slots=True)
class SnpRevocation:
    """Whether a revocation list must be there, and the highest number that the caller ever saw (0 before the first).

    AMD publishes one list for each product's VCEKs and one for its VLEKs; the caller keeps their numbers apart. ``why``
    is the reason for which none is required.

    Raises:
        EvidenceError: a field of another type.
    """

    required: bool
    highest_seen: int
    why: str = ""

    def __post_init__(self) -> None:
        require(self.required, bool, "policy.sev_snp.revocation.required", expected="true or false", remedy="give one")
        require_number(self.highest_seen, "policy.sev_snp.revocation.highest_seen")

    def judge(self, facts: SnpFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the list that the report's chain was checked against."""
        return self.judge_number(facts.vek.crl_number, ledger, line=f" for {facts.vek.product.value.lower()}")

    @keeps("T11.amd.4", "T11.amd.5")
    def judge_number(self, number: int | None, ledger: Ledger, *, line: str = "") -> tuple[Failure, ...]:
        """Judge a list by its number, None where there was none; what it says was checked with the chain."""
        failures = ledger.judge(
            "T11.amd.4",
            "AMD's revocation list of the product line is there where the policy requires it (`vitrine collateral "
            "fetch` gathers it, --collateral gives it)",
            expected="a list" if self.required else Phrase(("none is required:", self.why or "as asked")),
            got=f"none{line}" if number is None else f"a list{line}",
            condition=number is not None or not self.required,
        )
        if number is None:
            return failures
        return failures + ledger.judge(
            "T11.amd.5",
            "the revocation list's number did not go back",
            expected=Phrase(("at least", self.highest_seen)),
            got=number,
            condition=number >= self.highest_seen,
        )


@dataclass(frozen=True, slots=True)
class SnpDenyList:
    """Chips and keys that the caller distrusts; empty sets are a statement.

    ``chips`` are ids of 64 bytes, or Turin's of 8. A VCEK's serial number is usually 0, so a single key is better
    named by ``certificates``, the SHA-256 of its certificate.

    Raises:
        EvidenceError: a value of another type or size, which would deny nothing.
    """

    chips: frozenset[bytes]
    serials: frozenset[int]
    certificates: frozenset[bytes]

    def __post_init__(self) -> None:
        require_ids(self.chips, CHIP_SIZES, "policy.sev_snp.deny.chips")
        require_ids(self.certificates, (FINGERPRINT_SIZE,), "policy.sev_snp.deny.certificates")
        if not isinstance(self.serials, frozenset) or any(type(serial) is not int for serial in self.serials):
            raise EvidenceError("policy.sev_snp.deny.serials", "expected a frozenset of whole numbers")

    @keeps("T11.amd.6", "T11.amd.7")
    def judge(self, facts: SnpFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the chip and the key."""
        vek, denied = facts.vek, {chip.ljust(64, b"\0") for chip in self.chips}
        return ledger.judge(
            "T11.amd.6",
            "the chip is not on the deny-list",
            expected=Phrase(("none of the", len(denied), "that the policy denies")),
            got=facts.chip or "the report does not name it",
            condition=facts.chip not in denied,
        ) + ledger.judge(
            "T11.amd.7",
            "the signing key's certificate is not on the deny-list",
            expected=Phrase(("none of the", len(self.serials) + len(self.certificates), "that the policy denies")),
            got=Phrase(("serial", vek.serial, "SHA-256", vek.fingerprint)),
            condition=vek.serial not in self.serials and vek.fingerprint not in self.certificates,
        )


def _floor(rule: str, what: str, floor: Tcb | None, got: Tcb, ledger: Ledger) -> tuple[Failure, ...]:
    return ledger.judge(
        rule,
        what,
        expected=partial(str, floor) if floor else "a floor for this product in the policy",
        got=partial(str, got),
        condition=floor is not None and got.covers(floor),
    )
