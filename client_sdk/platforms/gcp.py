"""Google Cloud: a virtual TPM that Google certifies, outside of the TEE; SEV-SNP or TDX reports that bind it.

The guest chooses all 64 bytes of the CPU's report, so the hardware itself says that this guest owns the TLS key, the
attestation key, the GPU evidence and PCR 15 (rule T1). On TDX the CPU measured what booted (RTMR0 to RTMR2, with a
log); on SEV-SNP its measurement is of Google's firmware alone, and the image is Google's word (rule T10).

A simulated cloud's VM, which only simulated roots vouch for, may lack the report; it then runs the firmware of QEMU.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.evidence import GCP, Evidence
from client_sdk.platforms.cloud_key import verify_cloud_key
from client_sdk.platforms.cpu import verify_snp, verify_tdx
from client_sdk.platforms.devices import verify_devices
from client_sdk.platforms.interface import Bound, Case, NotRun, TeeFacts, TpmFacts
from client_sdk.platforms.parts import Parts, verify_tee_parts
from client_sdk.platforms.remarks import remarks
from client_sdk.verify.ak import verify_google_ak
from client_sdk.verify.eventlog import FirmwareFacts, verify_event_log
from client_sdk.verify.firmware import GCE
from client_sdk.verify.gce import OLDEST, SNP, TDX, verify_gce_pcr0
from client_sdk.verify.quote import QuotedPcrs
from client_sdk.verify.rim import Appraisal
from client_sdk.verify.tdx_log import verify_log, verify_rtmr0

_ALWAYS_UNBOUND = ("ek_certificates", "tee.runtime_data")
_KINDS = {
    "snp": Parts(("tee.report",), (*_ALWAYS_UNBOUND, "tee.ccel")),
    "tdx": Parts(("tee.report", "tee.ccel"), (*_ALWAYS_UNBOUND, "tee.certificates")),
}
_TECHNOLOGIES = {"snp": SNP, "tdx": TDX}
_NOT_RUN = (
    ("K2.1 to K2.3, K4, Q8", "Google certified the attestation key itself"),
    ("L6", "there is an event log"),
)
_NO_TECHNOLOGY = (("L8", "no CPU's report came whose technology the firmware could claim"),)


@dataclass(frozen=True, slots=True)
class GoogleCompute:
    """Confidential VMs on Google Compute Engine."""

    name: str = GCP

    def parts(self, case: Case) -> None:
        """Expect a report of SEV-SNP, or a quote of TDX with its log; no endorsement key."""
        verify_tee_parts(case, _KINDS, case.roots.google)

    def tpm(self, case: Case) -> TpmFacts:
        """Check Google's certificate (K1 to K3, K5) and the key (Q7)."""
        return verify_cloud_key(case, verify_google_ak, case.roots.google)

    def firmware(self, case: Case, quote: QuotedPcrs) -> FirmwareFacts | None:
        """Replay the log of Google's firmware, which claims the technology of the CPU's report (L8)."""
        if case.evidence.tee is None:
            return verify_event_log(case.evidence.event_log, quote.pcrs, ledger=case.ledger)
        facts = verify_event_log(case.evidence.event_log, quote.pcrs, ledger=case.ledger, family=GCE)
        technology = _TECHNOLOGIES[_kind(case.evidence)]
        verify_gce_pcr0(quote.pcrs[0], technology, oldest=OLDEST, ledger=case.ledger)
        return facts

    def devices(self, case: Case, bound: Bound) -> tuple[Appraisal, ...]:
        """Verify the GPUs."""
        return verify_devices(case, bound)

    def tee(self, case: Case, bound: Bound) -> TeeFacts | None:
        """Verify the report, which binds everything else (T1)."""
        tee, ledger = case.evidence.tee, case.ledger
        if tee is None:  # `parts` takes that under simulated roots alone
            return None
        if tee.kind == "snp":
            report = verify_snp(case, tee.report, tee.certificates, report_data=bound.report_data)
            return TeeFacts("snp", report, None, None)
        facts = verify_tdx(case, tee.report, report_data=bound.report_data)
        events = verify_log(tee.ccel, facts.quote.body.rtmrs, ledger=ledger)
        return TeeFacts("tdx", facts, verify_rtmr0(events, ledger=ledger), None)

    def not_run(self, case: Case) -> NotRun:
        """Return what is about other clouds and other CPUs."""
        firmware = () if case.evidence.tee else _NO_TECHNOLOGY
        return (*_NOT_RUN, *firmware, *remarks(case, _kind(case.evidence)))


def _kind(evidence: Evidence) -> str:
    return evidence.tee.kind if evidence.tee else ""
