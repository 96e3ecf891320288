"""The report of a CPU, with the certificates and lists that belong to it: from the evidence, or from collateral.

Which file is tried is a matter of names; whether it is the right one, the rules decide.

(T11.amd.8) There is a certificate for the key that signed an SNP report. (T11.1) Intel's collateral is complete.
"""

from __future__ import annotations

from client_sdk.collateral import AmdProduct, Collateral, IntelStatement
from client_sdk.parse.amd_certificate import parse_vek
from client_sdk.parse.snp import Product, SnpReport, parse_report, product_of
from client_sdk.platforms.interface import Case
from client_sdk.report import Phrase
from client_sdk.rules import keeps
from client_sdk.verify import tdx, tdx_collateral
from client_sdk.verify.amd_chain import RevocationList, VerifiedVek, verify_vek
from client_sdk.verify.snp import SnpFacts, verify_report
from client_sdk.verify.tdx_collateral import TdxFacts, verify_collateral

_NOTHING, _NO_STATEMENT = AmdProduct((), None), IntelStatement(b"", b"")
_PROCESSOR_CA = b"Processor CA"
_VLEK = 1


def verify_snp(case: Case, report: bytes, certificates: tuple[bytes, ...], *, report_data: bytes) -> SnpFacts:
    """Check an SNP report; the first certificate, where there is one, is of the key that signed it.

    Raises:
        EvidenceError: report, certificate or list cannot be read.
        VerificationError: T1 to T4, T11.
    """
    vek = _verified_vek(case, parse_report(report), certificates)
    return verify_report(report, vek, report_data=report_data, ledger=case.ledger)


@keeps("T11.amd.8")
def _verified_vek(case: Case, report: SnpReport, certificates: tuple[bytes, ...]) -> VerifiedVek:
    """Verify the certificate of the key that signed, with the revocation list of its product line where one came."""
    collateral, ledger = case.collateral, case.ledger
    found = certificates[:1] or _published(report, collateral)
    ledger.holds(
        "T11.amd.8",
        "there is a certificate of the key that signed the report, in the evidence or in the collateral (`vitrine "
        "collateral fetch` gathers it, --collateral gives it)",
        expected=Phrase(("chip", report.chip_id, "with TCB", report.reported_tcb)),
        got="a certificate" if found else "none",
        condition=found,
    )
    line = _NOTHING
    if collateral is not None:
        product = product_of(report.cpuid) if report.has_cpuid else parse_vek(found[0], "vek").product
        line = collateral.amd.get(product, _NOTHING) if isinstance(product, Product) else _NOTHING
    revocation = None if line.crl is None else RevocationList(line.crl, case.roots.ages.amd_crl)
    others = (*certificates[1:], *line.intermediates)
    return verify_vek(
        found[0],
        others,
        case.roots.amd,
        revocation=revocation,
        now=case.now,
        ledger=ledger,
        paths=case.paths,
    )


def _published(report: SnpReport, collateral: Collateral | None) -> tuple[bytes, ...]:
    """Return the certificate that the collateral has for a report: of its chip, or of its provider and TCB."""
    if collateral is None:
        return ()
    if report.signing_key == _VLEK:
        return tuple([der for (_, tcb), der in collateral.vleks.items() if tcb == report.reported_tcb])[:1]
    found = collateral.vceks.get((report.chip_id, report.reported_tcb))
    return () if found is None else (found,)


def verify_tdx(case: Case, quote: bytes, *, report_data: bytes) -> TdxFacts:
    """Check a TD quote, what it is bound to, and what Intel says about its platform.

    Raises:
        EvidenceError: quote or collateral cannot be read.
        VerificationError: T1, T6 to T8, T11.
    """
    genuine = tdx.verify_quote(quote, case.roots.intel, now=case.now, ledger=case.ledger, paths=case.paths)
    tdx.verify_report_data(genuine.body, report_data, ledger=case.ledger)
    collateral = _intel(case, genuine)
    # The root that vouches for the platform vouches for the statements about it, and no other.
    return verify_collateral(
        genuine,
        collateral,
        genuine.path[-1:],
        ages=case.roots.ages,
        now=case.now,
        ledger=case.ledger,
        paths=case.paths,
    )


@keeps("T11.1")
def _intel(case: Case, facts: tdx.QuoteFacts) -> tdx_collateral.Collateral:
    """Pick Intel's statements about the platform of a quote."""
    kind = "processor" if _PROCESSOR_CA in facts.path[0].issuer else "platform"
    collateral = case.collateral
    tcb_info = (collateral and collateral.tcb_infos.get(facts.pck.fmspc)) or _NO_STATEMENT
    identity = (collateral and collateral.qe_identity) or _NO_STATEMENT
    pck_crl = (collateral and collateral.pck_crls.get(kind)) or b""
    root_crl = (collateral and collateral.root_crl) or b""
    parts = {
        f"TCB info of {facts.pck.fmspc.hex()}": tcb_info.document,
        "QE identity": identity.document,
        f"revocation list of the {kind} CA": pck_crl,
        "revocation list of the root": root_crl,
    }
    missing = tuple([name for name, part in parts.items() if not part])
    what = "no collateral is missing (`vitrine collateral fetch` gathers it, --collateral gives it)"
    got = Phrase(("missing:", missing)) if missing else "all of it"
    case.ledger.holds("T11.1", what, expected="all of it", got=got, condition=not missing)
    return tdx_collateral.Collateral(
        tcb_info=tcb_info.document,
        tcb_info_issuer_chain=tcb_info.chain,
        qe_identity=identity.document,
        qe_identity_issuer_chain=identity.chain,
        pck_crl=pck_crl,
        root_crl=root_crl,
    )
