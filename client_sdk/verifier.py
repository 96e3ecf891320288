"""Evidence to :class:`VerifiedEvidence`: is it genuine, fresh and bound together? Pure: no network, no clock.

(1) The platform is a known one, and its parts are those that it has. D1: the roots are for it. C6: nothing is there
    that nothing would bind, and nothing is missing that must be bound.
(2) The attestation key is one of a TPM. On clouds K1 to K5: the cloud certified it. Locally K1, K2: the endorsement
    key's certificate chains to a pinned CA, and Q8: both keys are in one TPM. Q7: it is a restricted signing key.
(3) Q1 to Q6: it signed the quote, and the quote covers the claimed PCRs.
(4) C1, C2: the quote answers this caller's nonce and names this TLS key and this GPU evidence.
(5) L1 to L5, L7 to L10: the event log gives the quoted PCRs and follows the firmware's grammar; L6: or there is none.
(6) L11: the run-time log gives PCR 15 and names this TLS key.
(7) G1 to G3, G5: each GPU is genuine, distinct, of this boot, and as the RIM files say.
(8) T1 to T9: the CPU's report is genuine, in date, and binds all of this. Under simulated roots there may be none.

(2), (5), (7) and (8) differ by platform: ``client_sdk.platforms`` has a file for each.

What it does not prove: that the values are those of any release, or that a caller should like them (``accept.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from client_sdk.binding import gpu_digest
from client_sdk.collateral import Collateral
from client_sdk.errors import AttestationError, VerificationError
from client_sdk.evidence import AZURE, GCP, Evidence, RuntimeEvent
from client_sdk.fields import format_instant
from client_sdk.given import require
from client_sdk.parse.certificate import parse_certificate, spki_digest
from client_sdk.parse.public import parse_public
from client_sdk.platforms.azure import AzureCompute
from client_sdk.platforms.gcp import GoogleCompute
from client_sdk.platforms.interface import Bound, Case, NotRun, Platform, TeeFacts
from client_sdk.platforms.local import LocalQemu
from client_sdk.platforms.remarks import hardware_facts
from client_sdk.report import VERIFIED, Check, Ledger, Report, Row, as_checks
from client_sdk.roots import Anchor, Roots
from client_sdk.rules import keeps
from client_sdk.sources import Parts, Sources, digests, parts
from client_sdk.verify.activation import (
    Activation,
    ActivationRequest,
    ActivationState,
    RandomBytes,
    make_credential,
)
from client_sdk.verify.ak import AzureAk, GoogleAk
from client_sdk.verify.binding import verify_binding
from client_sdk.verify.chain import VerifiedPaths
from client_sdk.verify.eventlog import FirmwareFacts
from client_sdk.verify.quote import verify_quote
from client_sdk.verify.rim import Appraisal
from client_sdk.verify.runtime_log import verify_runtime_log
from client_sdk.verify.snp import SnpFacts

PLATFORMS: Mapping[str, Platform] = {one.name: one for one in (LocalQemu(), GoogleCompute(), AzureCompute())}


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """Evidence that :func:`verify` found genuine. ``firmware.pcr11`` is PCR 11 before the boot phases.

    ``tpm_ca`` is the SHA-256 of the pinned certificate that vouches for the TPM. ``ek_certificate`` is empty where a
    cloud certified the attestation key: then ``cloud`` is what it certified. ``firmware`` is None where a platform has
    no event log. ``gpu`` is the digest of the GPU evidence, empty without GPUs. ``evidence`` are the parts that were
    verified, and ``received`` is what else came: a report names their digests.
    """

    platform: str
    simulated: bool
    tls_certificate: bytes
    spki: bytes
    ak_name: bytes
    ek_certificate: bytes
    tpm_ca: bytes
    pcrs: Mapping[int, bytes]
    firmware: FirmwareFacts | None
    runtime_log: tuple[RuntimeEvent, ...]
    reset_count: int
    restart_count: int
    clock_safe: int
    tpm_firmware: int
    verified_at: datetime
    rows: tuple[Row, ...]
    evidence: Evidence
    roots: Roots
    not_run: NotRun
    cloud: GoogleAk | AzureAk | None = None
    tee: TeeFacts | None = None
    gpu: bytes = b""
    gpus: tuple[Appraisal, ...] = ()
    received: Parts = ()

    def __repr__(self) -> str:
        """Name the machine in a line: its parts are tens of kilobytes."""
        kind, count = self.tee.kind if self.tee else "no TEE", len(self.gpus)
        told = f"{self.platform}, {kind}, {count} GPUs, {len(self.rows)} checks, at {format_instant(self.verified_at)}"
        return f"<VerifiedEvidence: {told}{', simulated' if self.simulated else ''}>"

    def brought_by(self, rows: tuple[Row, ...], received: Parts) -> VerifiedEvidence:
        """Add the checks of the connection that brought this evidence, and what else it brought."""
        return replace(self, rows=rows + self.rows, received=received)

    def without(self, rules: tuple[str, str]) -> VerifiedEvidence:
        """Note rules that could not be looked at, with the reason."""
        return replace(self, not_run=(*self.not_run, rules))

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that were made."""
        return as_checks(self.rows)

    @property
    def anchors(self) -> frozenset[Anchor]:
        """The pinned certificates that something in this evidence depends on: for what, and their SHA-256."""
        tpm = {GCP: "google", AZURE: "azure"}.get(self.platform, "tpm")
        cpu = [("amd" if isinstance(self.tee.report, SnpFacts) else "intel", self.tee.root)] if self.tee else []
        devices = [("nvidia", appraisal.device.root) for appraisal in self.gpus]
        rims = [("nvidia_rim", rim.root) for appraisal in self.gpus for rim in appraisal.rims]
        return frozenset([(tpm, self.tpm_ca), *cpu, *devices, *rims])

    @property
    def facts(self) -> tuple[tuple[str, Any], ...]:
        """What is now known about the subject, for a report."""
        firmware = self.firmware
        return (
            ("platform", self.platform),
            ("simulated", self.simulated),
            ("tls_spki_sha256", self.spki),
            ("ak_name", self.ak_name),
            ("ek_certificate_sha256", self.ek_certificate),
            ("tpm_ca_sha256", self.tpm_ca),
            ("secure_boot", firmware.secure_boot if firmware else "not told: there is no event log"),
            ("boot_entries", firmware.boot_entries if firmware else ()),
            ("images", tuple(f"PCR {pcr}: {digest.hex()}" for pcr, digest in (firmware.images if firmware else ()))),
            ("pcrs", dict(self.pcrs)),
            ("tpm_reset_count", self.reset_count),
            ("tpm_restart_count", self.restart_count),
            ("tpm_clock_safe", bool(self.clock_safe)),
            ("tpm_firmware", f"{self.tpm_firmware:#018x}"),
            ("verified_at", format_instant(self.verified_at)),
            *hardware_facts(self.cloud, self.tee, self.gpus),
        )

    @property
    def sources(self) -> Sources:
        """The parts that were received, by name, with their digests; hashed now."""
        return digests(self.received + parts(self.evidence))

    @property
    def report(self) -> Report:
        """The checks, without a verdict on acceptability."""
        return Report(VERIFIED, self.checks, self.not_run, self.facts, self.sources)


@keeps("Q8.1")
def challenge(evidence: Evidence, random: RandomBytes) -> tuple[ActivationRequest, ActivationState]:
    """Make the second round's request for an attestation key that no certificate vouches for, and the state to keep.

    Nothing in the evidence is verified yet: sending the request reveals nothing, and only :func:`verify` judges the
    answer. ``random`` gives as many fresh random bytes as it is asked for.

    Raises:
        EvidenceError: keys that cannot be read.
        VerificationError: Q8.1.
    """
    remedy = "write Evidence.from_json(bytes)"
    require(evidence, Evidence, "evidence", expected="evidence, as Evidence.from_json reads it", remedy=remedy)
    if not evidence.ek_certificates:
        raise VerificationError("Q8.1", "there is a certificate of an endorsement key", expected="one", got="none")
    key = parse_certificate(evidence.ek_certificates[0], "$.ek_certificates[0]").public_key
    return make_credential(key, parse_public(evidence.ak_public).name, random)


def verify(
    evidence: Evidence,
    *,
    roots: Roots,
    nonce: bytes,
    now: datetime,
    activation: Activation | None = None,
    collateral: Collateral | None = None,
    paths: VerifiedPaths | None = None,
) -> VerifiedEvidence:
    """Check that evidence is genuine, fresh and bound together, step by step as listed at the top of this file.

    It does not prove that the values are those of a release, nor that the peer on a connection is this machine.
    ``collateral`` is what clouds' CPUs and GPUs need to be judged by; where it lacks something, either a rule fails
    here or the policy demands it. ``paths`` is what a caller keeps who verifies many at one instant.

    Raises:
        EvidenceError: bytes that are not what their format says.
        VerificationError: the first rule that does not hold; ``checks`` are those made until then.
    """
    case = Case(evidence, roots, collateral, activation, now, Ledger(), paths)
    try:
        return _verify(_platform(evidence), case, nonce)
    except AttestationError as error:
        error.checks, error.sources = case.ledger.checks, digests(parts(evidence))
        error.not_run = _not_run(case)
        raise


def _verify(platform: Platform, case: Case, nonce: bytes) -> VerifiedEvidence:
    evidence, ledger = case.evidence, case.ledger
    platform.parts(case)  # (1)
    tpm = platform.tpm(case)  # (2)
    told = evidence.quote
    quote = verify_quote(told.attest, told.signature, evidence.pcrs, ak=tpm.key, ledger=ledger)  # (3)
    spki = spki_digest(evidence.tls_certificate, "$.tls_certificate")
    gpu = gpu_digest(tuple([device.evidence for device in evidence.gpu]))
    verify_binding(quote.attest.extra_data, told.place, nonce=nonce, spki=spki, gpu=gpu, ledger=ledger)  # (4)
    firmware = platform.firmware(case, quote)  # (5)
    verify_runtime_log(evidence.runtime_log, quote.pcrs[15], spki=spki, ledger=ledger)  # (6)
    bound = Bound(tpm, spki, gpu, quote)
    gpus = platform.devices(case, bound)  # (7)
    tee = platform.tee(case, bound)  # (8)
    return VerifiedEvidence(
        platform=evidence.platform,
        simulated=case.roots.simulated,
        tls_certificate=evidence.tls_certificate,
        spki=spki,
        ak_name=tpm.ak_name,
        ek_certificate=tpm.ek_certificate,
        tpm_ca=tpm.ca,
        pcrs=quote.pcrs,
        firmware=firmware,
        runtime_log=evidence.runtime_log,
        reset_count=quote.attest.reset_count,
        restart_count=quote.attest.restart_count,
        clock_safe=quote.attest.safe,
        tpm_firmware=quote.attest.firmware_version,
        verified_at=case.now,
        rows=tuple(ledger.rows),
        evidence=evidence,
        roots=case.roots,
        not_run=_not_run(case),
        cloud=tpm.cloud,
        tee=tee,
        gpu=gpu,
        gpus=gpus,
    )


def _not_run(case: Case) -> NotRun:
    """Return what does not apply to a platform; nothing is known of an unknown one."""
    platform = PLATFORMS.get(case.evidence.platform)
    return platform.not_run(case) if platform else ()


@keeps("K5")
def _platform(evidence: Evidence) -> Platform:
    found = PLATFORMS.get(evidence.platform)
    if found is None:
        raise VerificationError(
            "K5",
            "the platform is one that this version verifies (else use a client that does)",
            expected=", ".join(PLATFORMS),
            got=evidence.platform,
        )
    return found
