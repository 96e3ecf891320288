"""The local platform: QEMU with a software TPM, for development and tests. It proves nothing about its host.

The TPM's endorsement key is certified by a CA of the caller's own, and activation proves the attestation key (Q8).
There is no CPU TEE and no GPU, and nothing would bind one.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.evidence import LOCAL_QEMU
from client_sdk.parse.public import parse_public
from client_sdk.platforms.interface import Bound, Case, NotRun, TpmFacts
from client_sdk.platforms.parts import verify_nothing_unbound
from client_sdk.rules import keeps
from client_sdk.verify.activation import verify_activation
from client_sdk.verify.ek import verify_ek_chain
from client_sdk.verify.eventlog import FirmwareFacts, verify_event_log
from client_sdk.verify.quote import QuotedPcrs, verify_ak
from client_sdk.verify.rim import Appraisal

_NOT_RUN = (
    ("T1 to T11", "there is no CPU TEE on this platform"),
    ("G1 to G5", "there is no GPU on this platform"),
    ("K3 to K5, L8", "they are about cloud TPMs"),
    ("L6", "there is an event log"),
)


@dataclass(frozen=True, slots=True)
class LocalQemu:
    """QEMU and swtpm."""

    name: str = LOCAL_QEMU

    @keeps("D1", "T11")
    def parts(self, case: Case) -> None:
        """Refuse anything but the explicit simulated roots, and parts that nothing binds."""
        simulated = case.roots.simulated
        case.ledger.holds(
            "D1",
            "a software TPM, which proves nothing about its host, is judged by the explicit simulated policy alone "
            "(--simulated TPM_CA.pem, or SimulatedPlatform in code)",
            expected="the simulated policy",
            got="the simulated policy" if simulated else "a policy for production",
            condition=simulated,
        )
        if case.collateral is not None:
            what = "collateral is given only where a platform needs it"
            case.ledger.equal("T11", what, expected="none", got="collateral")
        verify_nothing_unbound(case, ("ak_certificates", "tee", "gpu"))

    def tpm(self, case: Case) -> TpmFacts:
        """Check the endorsement key's certificate, the attestation key, and that both are in one TPM."""
        evidence, ledger = case.evidence, case.ledger
        ek, anchor = verify_ek_chain(
            evidence.ek_certificates, case.roots, now=case.now, ledger=ledger, paths=case.paths
        )
        public = parse_public(evidence.ak_public)
        key = verify_ak(public, ledger=ledger)
        verify_activation(case.activation, ek.public_key, public.name, ledger=ledger)
        return TpmFacts(key, public.name, anchor.fingerprint, ek.fingerprint, None)

    def firmware(self, case: Case, quote: QuotedPcrs) -> FirmwareFacts | None:
        """Replay OVMF's log."""
        return verify_event_log(case.evidence.event_log, quote.pcrs, ledger=case.ledger)

    def devices(self, case: Case, bound: Bound) -> tuple[Appraisal, ...]:
        """There is none (C6)."""
        _ = case, bound
        return ()

    def tee(self, case: Case, bound: Bound) -> None:
        """There is none (C6)."""
        _ = case, bound

    def not_run(self, case: Case) -> NotRun:
        """Return everything about clouds, CPUs and GPUs."""
        _ = case
        return _NOT_RUN
