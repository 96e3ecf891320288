"""The SEV-SNP attestation report: signed by a certified key, about this chip and TCB, and consistent in itself.

(T4.1) Its version is a known one.
(T2.11) The signature algorithm is ECDSA on P-384 with SHA-384. (T2.12) r and s fit in 48 bytes: the rest of their
fields is zero and not cut off. (T2.13) The certified key signed the first 672 bytes.
(T3.3) SIGNING_KEY names the kind of key that the certificate is of. (T3.4) The processor is of the chain's product
line, where the version has it. (T3.5) CHIP_ID is the certificate's hardware id, unless the host masks it: it is zero
then, and the signature alone says which chip it was. (T3.6) REPORTED_TCB is the certificate's.
(T1.1) REPORT_DATA, all 64 bytes, is what the caller expects.
(T4.2) The guest policy's reserved bits are as specified: bit 17 one, the unknown ones zero. (T4.3) The unknown bits of
PLATFORM_INFO and of the flags, (T4.4) reserved fields and (T4.5) reserved bytes of every TCB are zero.
(T4.6) No component of the committed TCB and (T4.7) nothing of the committed firmware version is above the current.

It proves what the firmware of a genuine chip says about a guest. Whether to like it (debug, TCB, measurement, VMPL) is
``client_sdk.clauses.snp``; what the measured guest does with the key in REPORT_DATA, nobody proves here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from client_sdk.parse import snp
from client_sdk.parse.snp import SnpReport, Tcb, parse_report, parse_tcb, product_of
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.amd_chain import VerifiedVek

VERSIONS = (2, 3, 4, 5)
VCEK, VLEK = "VCEK", "VLEK"
_SIGNING_KEYS = {0: VCEK, 1: VLEK, 7: "none"}
_ECDSA = ec.ECDSA(SHA384())
_COMPONENT_BITS = 384
_MASKED = bytes(64)


@dataclass(frozen=True, slots=True)
class SnpFacts:
    """A genuine report, the key that signed it, and its TCBs as the product orders them.

    ``chip_id_masked`` says that the host hides the chip's id in the report.
    """

    report: SnpReport
    vek: VerifiedVek
    chip_id_masked: bool
    reported_tcb: Tcb
    current_tcb: Tcb
    committed_tcb: Tcb
    launch_tcb: Tcb

    @property
    def signing_key(self) -> str:
        """The kind of key that signed."""
        return VLEK if self.vek.is_vlek else VCEK

    @property
    def chip(self) -> bytes:
        """The chip's id in 64 bytes, from the report or else the certificate; empty where neither says it."""
        if not self.chip_id_masked:
            return self.report.chip_id
        return self.vek.hwid.ljust(64, b"\0") if self.vek.hwid else b""


def verify_report(data: bytes, vek: VerifiedVek, *, report_data: bytes, ledger: Ledger) -> SnpFacts:
    """Check a report by a key that :func:`client_sdk.verify.amd_chain.verify_vek` returned.

    Raises:
        EvidenceError: the report has another length.
        VerificationError: T1 to T4.
    """
    report = parse_report(data)
    _signature(report, vek, ledger)
    _chip(report, vek, ledger)
    _binding(report_data, report.report_data, ledger)
    tcbs = (report.reported_tcb, report.current_tcb, report.committed_tcb, report.launch_tcb)
    facts = SnpFacts(report, vek, report.chip_id == _MASKED, *[parse_tcb(raw, vek.product) for raw in tcbs])
    _reserved(facts, ledger)
    _committed(facts, ledger)
    return facts


@keeps("T4.1", "T2.11", "T2.12", "T2.13")
def _signature(report: SnpReport, vek: VerifiedVek, ledger: Ledger) -> None:
    """Check that the certified key signed the report."""
    version, algorithm = report.version, report.signature_algorithm
    ledger.holds("T4.1", "the report's version is known", expected=VERSIONS, got=version, condition=version in VERSIONS)
    what = "the report's signature is ECDSA on P-384 with SHA-384"
    ledger.equal("T2.11", what, expected=snp.ECDSA_P384_SHA384, got=algorithm)
    r, s = report.r, report.s
    ledger.holds(
        "T2.12",
        "r and s of the report's signature fit in 48 bytes",
        expected=f"at most {_COMPONENT_BITS} bits",
        got=(r.bit_length(), s.bit_length()),
        condition=max(r, s) >> _COMPONENT_BITS == 0,
    )
    try:
        vek.key.verify(encode_dss_signature(r, s), report.signed, _ECDSA)
    except InvalidSignature:
        verdict = "another key's, or over other bytes"
    else:
        verdict = "valid"
    ledger.equal("T2.13", "the certified key signed the report", expected="valid", got=verdict)


@keeps("T3.3", "T3.4", "T3.5", "T3.6")
def _chip(report: SnpReport, vek: VerifiedVek, ledger: Ledger) -> None:
    """Check that the report is about the chip and the TCB of the certificate."""
    kind = _SIGNING_KEYS.get(report.signing_key, f"reserved value {report.signing_key}")
    expected = VLEK if vek.is_vlek else VCEK
    ledger.equal("T3.3", "SIGNING_KEY names the kind of the certified key", expected=expected, got=kind)
    if report.has_cpuid:
        family, model, stepping = report.cpuid
        ledger.holds(
            "T3.4",
            "the processor is of the chain's product line",
            expected=vek.product,
            got=f"family {family:#04x} model {model:#04x} stepping {stepping:#04x}",
            condition=product_of(report.cpuid) is vek.product,
        )
    if not vek.is_vlek:
        ledger.holds(
            "T3.5",
            "CHIP_ID is the certificate's hardware id, or masked",
            expected=vek.hwid,
            got=report.chip_id,
            condition=report.chip_id in (vek.hwid.ljust(len(_MASKED), b"\0"), _MASKED),
        )
    ledger.equal("T3.6", "REPORTED_TCB is the certificate's", expected=vek.tcb, got=report.reported_tcb)


@keeps("T1.1")
def _binding(expected: bytes, got: bytes, ledger: Ledger) -> None:
    """Check what the guest put into the report."""
    ledger.equal("T1.1", "REPORT_DATA is what this guest must have put there", expected=expected, got=got)


@keeps("T4.2", "T4.3", "T4.4", "T4.5")
def _reserved(facts: SnpFacts, ledger: Ledger) -> None:
    """Check that nothing unknown is set."""
    report = facts.report
    ledger.equal(
        "T4.2",
        "bit 17 of the guest policy is one and its unknown bits are zero",
        expected=(snp.POLICY_RESERVED_ONE, 0),
        got=(report.policy & snp.POLICY_RESERVED_ONE, report.policy & ~snp.POLICY_KNOWN),
    )
    ledger.equal(
        "T4.3",
        "the unknown bits of PLATFORM_INFO and of the flags are zero",
        expected=(0, 0),
        got=(report.platform_info & ~snp.PLATFORM_KNOWN, report.flags & ~snp.FLAGS_KNOWN),
    )
    offsets = tuple(map(hex, report.reserved_set))
    ledger.equal("T4.4", "the report's reserved fields are zero", expected=(), got=offsets)
    tcbs = (facts.reported_tcb, facts.current_tcb, facts.committed_tcb, facts.launch_tcb)
    reserved = b"".join([tcb.reserved for tcb in tcbs])
    ledger.equal(
        "T4.5", "the reserved bytes of the report's TCBs are zero", expected=bytes(len(reserved)), got=reserved
    )


@keeps("T4.6", "T4.7")
def _committed(facts: SnpFacts, ledger: Ledger) -> None:
    """Check that firmware did not commit to more than what runs."""
    report = facts.report
    ledger.holds(
        "T4.6",
        "no component of the committed TCB is above the current",
        expected=partial(str, facts.current_tcb),
        got=partial(str, facts.committed_tcb),
        condition=facts.current_tcb.covers(facts.committed_tcb),
    )
    ledger.holds(
        "T4.7",
        "the committed firmware version is not above the current",
        expected=report.current_version,
        got=report.committed_version,
        condition=report.committed_version <= report.current_version,
    )
