"""Evidence to :class:`VerifiedEvidence`: is it genuine, fresh and bound together? Pure: no network, no clock.

(1) D1: the platform is one that the caller's roots are for. C6: no part is there that nothing would bind.
(2) K1, K2: the endorsement key's certificate chains to a pinned CA.
(3) Q7: the attestation key is a restricted signing key.
(4) Q8: it lives in the TPM that holds the endorsement key.
(5) Q1 to Q6: it signed the quote, and the quote covers the claimed PCRs.
(6) C1, C2: the quote answers this caller's nonce and names this TLS key.
(7) L1 to L5, L7, L9, L10: the event log gives the quoted PCRs and follows the grammar.
(8) L11: the run-time log gives PCR 15 and names this TLS key.

What it does not prove: that the values are those of any release, or that a caller should like them (``accept.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from client_sdk.errors import AttestationError, VerificationError
from client_sdk.evidence import LOCAL_QEMU, Evidence, RuntimeEvent
from client_sdk.parse.certificate import CertificateFields, parse_certificate, spki_digest
from client_sdk.parse.public import parse_public
from client_sdk.report import VERIFIED, Check, Ledger, Report, Row, as_checks
from client_sdk.roots import Roots
from client_sdk.rules import keeps
from client_sdk.sources import Parts, Sources, digests, parts
from client_sdk.verify.activation import (
    Activation,
    ActivationRequest,
    ActivationState,
    RandomBytes,
    make_credential,
    verify_activation,
)
from client_sdk.verify.binding import verify_binding
from client_sdk.verify.ek import verify_ek_chain
from client_sdk.verify.eventlog import FirmwareFacts, verify_event_log
from client_sdk.verify.quote import QuotedPcrs, verify_ak, verify_quote
from client_sdk.verify.runtime_log import verify_runtime_log

NOT_RUN = (
    ("T1 to T11", "there is no CPU TEE on this platform"),
    ("G1 to G5", "there is no GPU on this platform"),
    ("K3 to K5, L8", "they are about cloud TPMs"),
    ("L6", "there is an event log"),
    ("R2, R5, and the memory of R3", "there is no public log yet, and nothing is remembered between runs"),
)


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """Evidence that :func:`verify` found genuine. ``firmware.pcr11`` is PCR 11 before the boot phases.

    ``evidence`` are the parts that were verified, and ``received`` is what else came: a report names their digests.
    """

    platform: str
    simulated: bool
    tls_certificate: bytes
    spki: bytes
    ak_name: bytes
    ek_certificate: bytes
    tpm_ca: bytes
    pcrs: Mapping[int, bytes]
    firmware: FirmwareFacts
    runtime_log: tuple[RuntimeEvent, ...]
    reset_count: int
    restart_count: int
    clock_safe: int
    tpm_firmware: int
    verified_at: datetime
    rows: tuple[Row, ...]
    evidence: Evidence
    received: Parts = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that were made."""
        return as_checks(self.rows)

    @property
    def facts(self) -> tuple[tuple[str, Any], ...]:
        """What is now known about the subject, for a report."""
        return (
            ("platform", self.platform),
            ("simulated", self.simulated),
            ("tls_spki_sha256", self.spki),
            ("ak_name", self.ak_name),
            ("ek_certificate_sha256", self.ek_certificate),
            ("tpm_ca_sha256", self.tpm_ca),
            ("secure_boot", self.firmware.secure_boot),
            ("boot_entries", self.firmware.boot_entries),
            ("images", tuple(f"PCR {pcr}: {digest.hex()}" for pcr, digest in self.firmware.images)),
            ("pcrs", dict(self.pcrs)),
            ("tpm_reset_count", self.reset_count),
            ("tpm_restart_count", self.restart_count),
            ("tpm_clock_safe", bool(self.clock_safe)),
            ("tpm_firmware", f"{self.tpm_firmware:#018x}"),
            ("verified_at", self.verified_at.isoformat(timespec="seconds")),
        )

    @property
    def sources(self) -> Sources:
        """The parts that were received, by name, with their digests; hashed now."""
        return digests(self.received + parts(self.evidence))

    @property
    def report(self) -> Report:
        """The checks, without a verdict on acceptability."""
        return Report(VERIFIED, self.checks, NOT_RUN, self.facts, self.sources)


@dataclass(frozen=True, slots=True)
class _Tpm:
    """Steps 2 to 5: the endorsement key's chain, the attestation key's Name, and what it signed."""

    ek: CertificateFields
    anchor: CertificateFields
    ak_name: bytes
    quote: QuotedPcrs


@keeps("Q8.1")
def challenge(evidence: Evidence, random: RandomBytes) -> tuple[ActivationRequest, ActivationState]:
    """Make the second round's request for an attestation key that no certificate vouches for, and the state to keep.

    Nothing in the evidence is verified yet: sending the request reveals nothing, and only :func:`verify` judges the
    answer. ``random`` gives as many fresh random bytes as it is asked for.

    Raises:
        EvidenceError: keys that cannot be read.
        VerificationError: Q8.1.
    """
    if not evidence.ek_certificates:
        raise VerificationError("Q8.1", "there is no certificate of an endorsement key", expected="one", got="none")
    key = parse_certificate(evidence.ek_certificates[0], "$.ek_certificates[0]").public_key
    return make_credential(key, parse_public(evidence.ak_public).name, random)


@keeps("T11")
def verify(
    evidence: Evidence,
    *,
    roots: Roots,
    nonce: bytes,
    now: datetime,
    activation: Activation | None = None,
    collateral: object = None,
) -> VerifiedEvidence:
    """Check that evidence is genuine, fresh and bound together, step by step as listed at the top of this file.

    It does not prove that the values are those of a release, nor that the peer on a connection is this machine.
    ``collateral`` is for platforms that this version does not verify yet.

    Raises:
        EvidenceError: bytes that are not what their format says.
        VerificationError: the first rule that does not hold; ``checks`` are those made until then.
    """
    ledger = Ledger()
    try:
        if collateral is not None:
            ledger.equal("T11", "collateral is given only where a platform needs it", expected=None, got="collateral")
        return _verify(evidence, roots, nonce=nonce, now=now, activation=activation, ledger=ledger)
    except AttestationError as error:
        error.checks, error.sources = ledger.checks, digests(parts(evidence))
        error.not_run = _not_run(evidence.platform)
        raise


def _not_run(platform: str) -> tuple[tuple[str, str], ...]:
    """Return what does not apply to a platform, for the report of a refusal; nothing is known of an unknown one."""
    return NOT_RUN if platform == LOCAL_QEMU else ()


def _verify(
    evidence: Evidence, roots: Roots, *, nonce: bytes, now: datetime, activation: Activation | None, ledger: Ledger
) -> VerifiedEvidence:
    _verify_platform(evidence, roots, ledger)  # (1)
    tpm = _verify_tpm(evidence, roots, now=now, activation=activation, ledger=ledger)  # (2) (3) (4) (5)
    spki, quote = spki_digest(evidence.tls_certificate, "$.tls_certificate"), tpm.quote
    place, extra = evidence.quote.place, quote.attest.extra_data
    verify_binding(extra, place, nonce=nonce, spki=spki, gpu=b"", ledger=ledger)  # (6)
    firmware = verify_event_log(evidence.event_log, quote.pcrs, ledger=ledger)  # (7)
    verify_runtime_log(evidence.runtime_log, quote.pcrs[15], spki=spki, ledger=ledger)  # (8)
    return VerifiedEvidence(
        platform=evidence.platform,
        simulated=roots.simulated,
        tls_certificate=evidence.tls_certificate,
        spki=spki,
        ak_name=tpm.ak_name,
        ek_certificate=tpm.ek.fingerprint,
        tpm_ca=tpm.anchor.fingerprint,
        pcrs=quote.pcrs,
        firmware=firmware,
        runtime_log=evidence.runtime_log,
        reset_count=quote.attest.reset_count,
        restart_count=quote.attest.restart_count,
        clock_safe=quote.attest.safe,
        tpm_firmware=quote.attest.firmware_version,
        verified_at=now,
        rows=tuple(ledger.rows),
        evidence=evidence,
    )


@keeps("C6", "D1", "K5")
def _verify_platform(evidence: Evidence, roots: Roots, ledger: Ledger) -> None:
    if evidence.platform != LOCAL_QEMU:
        raise VerificationError(
            "K5",
            f"this version does not verify platform {evidence.platform!r} yet; use a client that does",
            expected=LOCAL_QEMU,
            got=evidence.platform,
        )
    ledger.holds(
        "D1",
        "the platform is a software TPM, which proves nothing about its host: only the explicit simulated policy "
        "takes it (--simulated TPM_CA.pem, or SimulatedPlatform in code)",
        expected="the simulated policy",
        got="the simulated policy" if roots.simulated else "a policy for production",
        condition=roots.simulated,
    )
    unbound = {
        "ak_certificates": evidence.ak_certificates,
        "tee": evidence.tee,
        "gpu": evidence.gpu,
    }
    got = tuple(name for name, part in unbound.items() if part)
    ledger.equal("C6", "no part is there that nothing on this platform binds", expected=(), got=got)


def _verify_tpm(
    evidence: Evidence, roots: Roots, *, now: datetime, activation: Activation | None, ledger: Ledger
) -> _Tpm:
    ek, anchor = verify_ek_chain(evidence.ek_certificates, roots, now=now, ledger=ledger)  # (2)
    public = parse_public(evidence.ak_public)
    ak = verify_ak(public, ledger=ledger)  # (3)
    verify_activation(activation, ek.public_key, public.name, ledger=ledger)  # (4)
    attest, signature = evidence.quote.attest, evidence.quote.signature
    quote = verify_quote(attest, signature, evidence.pcrs, ak=ak, ledger=ledger)  # (5)
    return _Tpm(ek, anchor, public.name, quote)
