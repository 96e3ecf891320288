"""Azure: a virtual TPM inside the TEE, in a paravisor (HCL) that the CPU measured, and that Azure certifies as well.

The guest cannot choose the bytes of the CPU's report. The paravisor puts the hash of its runtime data there, in which
are the attestation key and 64 bytes of the guest's own; those bind TLS key, GPU evidence and PCR 15 (rule T1). The
boot is in the TPM alone, without a log that could be read: PCRs are compared with golden values (rule L6). The
paravisor is Azure's and closed; it is in the trusted base, known by its launch measurement (rule T5).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from client_sdk.evidence import AZURE, TeeEvidence
from client_sdk.parse.azure import SNP, TDX, HclReport, parse_hcl_report
from client_sdk.platforms.cloud_key import verify_cloud_key
from client_sdk.platforms.cpu import verify_snp, verify_tdx
from client_sdk.platforms.devices import verify_devices
from client_sdk.platforms.interface import Bound, Case, NotRun, TeeFacts, TpmFacts
from client_sdk.platforms.parts import Parts, verify_tee_parts
from client_sdk.platforms.remarks import remarks
from client_sdk.rules import keeps
from client_sdk.verify.ak import verify_azure_ak
from client_sdk.verify.azure import verify_hcl, verify_hcl_ak, verify_user_data
from client_sdk.verify.eventlog import verify_without_log
from client_sdk.verify.quote import QuotedPcrs
from client_sdk.verify.rim import Appraisal
from client_sdk.verify.snp import SnpFacts
from client_sdk.verify.tdx_collateral import TdxFacts

_ALWAYS_UNBOUND = ("ek_certificates", "tee.ccel")
_KINDS = {
    "azure-snp": Parts(("tee.report",), (*_ALWAYS_UNBOUND, "tee.runtime_data")),
    "azure-tdx": Parts(("tee.report", "tee.runtime_data"), (*_ALWAYS_UNBOUND, "tee.certificates")),
}
_SLOTS = {SNP: "azure-snp", TDX: "azure-tdx"}
_NOT_RUN = (
    ("K2.1 to K2.3, K3, Q8", "Azure certified the attestation key itself"),
    ("L1 but L1.15, L2 to L5, L8 to L10", "there is no event log: PCRs are compared with golden values"),
    ("T9", "what booted is in the TPM of the paravisor, not in registers of the CPU"),
)


@dataclass(frozen=True, slots=True)
class AzureCompute:
    """Confidential VMs on Azure."""

    name: str = AZURE

    def parts(self, case: Case) -> None:
        """Expect the paravisor's report, and on TDX the quote that was fetched for it; no endorsement key."""
        verify_tee_parts(case, _KINDS, case.roots.azure)

    def tpm(self, case: Case) -> TpmFacts:
        """Check Azure's certificate (K1, K2, K4, K5) and the key (Q7)."""
        return verify_cloud_key(case, verify_azure_ak, case.roots.azure)

    def firmware(self, case: Case, quote: QuotedPcrs) -> None:
        """Find that there is no log."""
        verify_without_log(case.evidence.event_log, quote.pcrs, ledger=case.ledger)

    def devices(self, case: Case, bound: Bound) -> tuple[Appraisal, ...]:
        """Verify the GPUs."""
        return verify_devices(case, bound)

    def tee(self, case: Case, bound: Bound) -> TeeFacts | None:
        """Verify the CPU's report, the paravisor's runtime data under it, and the guest's bytes in those (T1)."""
        tee, ledger = case.evidence.tee, case.ledger
        if tee is None:  # `parts` takes that under simulated roots alone
            return None
        hcl = _hcl_report(case, tee)
        named = sha256(hcl.runtime_data).digest() + bytes(32)
        report: SnpFacts | TdxFacts
        if hcl.kind == SNP:
            report = verify_snp(case, hcl.hardware_report, tee.certificates, report_data=named)
            signed = report.report.report_data
        else:
            report = verify_tdx(case, tee.report, report_data=named)
            signed = report.quote.body.report_data
        facts = verify_hcl(hcl, signed, ledger=ledger)
        verify_hcl_ak(facts, bound.tpm.key.key, ledger=ledger)
        verify_user_data(facts, bound.report_data, ledger=ledger)
        return TeeFacts("snp" if hcl.kind == SNP else "tdx", report, None, facts)

    def not_run(self, case: Case) -> NotRun:
        """Return what is about other clouds, other CPUs, and logs."""
        tee = case.evidence.tee
        return (*_NOT_RUN, *remarks(case, tee.kind.removeprefix("azure-") if tee else ""))


@keeps("T1.kind")
def _hcl_report(case: Case, tee: TeeEvidence) -> HclReport:
    """Read the paravisor's report from where evidence of this kind has it."""
    hcl = parse_hcl_report(tee.report if tee.kind == _SLOTS[SNP] else tee.runtime_data)
    what = "the paravisor's report holds a hardware report of the kind that the evidence names"
    case.ledger.equal("T1.kind", what, expected=tee.kind, got=_SLOTS[hcl.kind])
    return hcl
