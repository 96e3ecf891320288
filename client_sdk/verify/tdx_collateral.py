"""Intel's collateral about a TDX platform: revocation, identity and TCB, each signed by Intel.

(T7.3) The CRL of the PCK's CA and (T7.4) that of the root are signed and in date, and name no certificate in use
(``crl.py``). (T7.5) Their issuers may sign such lists.
(T7.6) TCB info and QE identity are signed by certificates that chain to the pinned root (``chain.py``), each
(T7.7) one for signing TCB statements: no CA, for signatures, signed by the root itself, with Intel's name for it.
(T7.8) The signature of the TCB info and (T7.11) that of the QE identity are over the text as received.
(T7.9) The TCB info and (T7.12) the QE identity are in date. (T11.2, T11.3) Neither is older than the caller's limit.
(T7.13) The TCB info is one for TDX, version 3. (T7.14) The QE identity is that of the TD quoting enclave, version 2.
(T7.15) FMSPC and (T7.16) PCE-ID are those of the PCK certificate.
(T7.17) MRSIGNERSEAM and (T7.18) the SEAM attributes are those that Intel states for this TDX module.
(T6.9) MRSIGNER, (T6.10) ISVPRODID, (T6.11) attributes and (T6.12) MISCSELECT of the quoting enclave are Intel's.

The TCB levels are looked up (``tdx_tcb.py``) and returned as facts. Which status is good enough, and how old a set of
evaluation data may be, is policy (``clauses/tdx.py``). That newer collateral exists is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from client_sdk.ages import Ages
from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.intel_collateral import (
    QE_IDENTITY,
    TCB_INFO,
    QeIdentity,
    SignedStatement,
    TcbInfo,
    parse_qe_identity,
    parse_statement,
    parse_tcb_info,
)
from client_sdk.parse.names import common_name
from client_sdk.parse.pck import SGX_EXTENSIONS
from client_sdk.parse.tdx import QeReport
from client_sdk.report import Ledger, Phrase
from client_sdk.rules import keeps
from client_sdk.verify.chain import ChainRules, VerifiedPaths, verify_chain
from client_sdk.verify.crl import CrlRules, verify_crl
from client_sdk.verify.tdx import QuoteFacts, read_chain, signature_verdict
from client_sdk.verify.tdx_tcb import (
    advisories_of,
    module_identity,
    module_level,
    platform_level,
    qe_level,
    status_of,
    worst,
)

_SIGNER_RULES = ChainRules("T7.6", "the certificate that signs Intel's TCB statements")
_SIGNER_NAME = "Intel SGX TCB Signing"
_SIGNER_PATH = 2  # the root signs it itself
TDX_ID, TDX_VERSION, QE_ID, QE_VERSION = "TDX", 3, "TD_QE", 2


@dataclass(frozen=True, slots=True)
class Collateral:
    """What Intel's service answers about a platform, as received. The chains are PEM, plain or URL-encoded."""

    tcb_info: bytes
    tcb_info_issuer_chain: bytes
    qe_identity: bytes
    qe_identity_issuer_chain: bytes
    pck_crl: bytes
    root_crl: bytes


@dataclass(frozen=True, slots=True)
class TcbFacts:
    """What Intel says about the TCB. ``status`` is the worst of the three.

    ``module_status`` is empty where the TDX module has no version and counts with the platform.
    """

    status: str
    platform_status: str
    module_status: str
    qe_status: str
    tcb_date: str
    advisories: tuple[str, ...]
    tcb_evaluation: int
    qe_evaluation: int
    pck_crl_number: int
    root_crl_number: int


@dataclass(frozen=True, slots=True)
class TdxFacts:
    """A genuine quote of a platform that Intel knows and has not revoked, with the status of its TCB."""

    quote: QuoteFacts
    tcb: TcbFacts


def verify_collateral(
    facts: QuoteFacts,
    collateral: Collateral,
    anchors: tuple[CertificateFields, ...],
    *,
    ages: Ages,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> TdxFacts:
    """Check collateral against a verified quote and look up how Intel rates the platform.

    Raises:
        EvidenceError: a part cannot be read.
        VerificationError: T6.9 to T6.12, T7.3 to T7.18 or T11.
    """
    signers = _signers(collateral, anchors, now=now, ledger=ledger, paths=paths)
    numbers = _revocation(facts, collateral, signers, ages=ages, now=now, ledger=ledger, paths=paths)
    tcb_statement, tcb = _tcb_info(collateral.tcb_info, signers[0], ages.tcb_info, now, ledger)
    qe_statement, qe = _qe_identity(collateral.qe_identity, signers[1], ages.qe_identity, now, ledger)
    _platform(facts, tcb, ledger)
    _quoting_enclave(facts.quote.qe_report, qe, ledger)
    svn = facts.body.tee_tcb_svn
    levels = (
        platform_level(tcb, facts.pck, svn),
        module_level(tcb, svn),
        qe_level(qe, facts.quote.qe_report.isv_svn),
    )
    platform, module, enclave = status_of(levels[0]), status_of(levels[1]) if svn[1] else "", status_of(levels[2])
    found = TcbFacts(
        status=worst([status for status in (platform, module, enclave) if status]),
        platform_status=platform,
        module_status=module,
        qe_status=enclave,
        tcb_date=levels[0].date if levels[0] else "",
        advisories=advisories_of(*levels),
        tcb_evaluation=tcb_statement.evaluation,
        qe_evaluation=qe_statement.evaluation,
        pck_crl_number=numbers[0],
        root_crl_number=numbers[1],
    )
    return TdxFacts(facts, found)


def _signers(
    collateral: Collateral,
    anchors: tuple[CertificateFields, ...],
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None,
) -> tuple[CertificateFields, CertificateFields]:
    """Return who signed the TCB info and who the QE identity: as a rule one and the same, then checked once."""
    chain = collateral.tcb_info_issuer_chain
    first = _signer(chain, anchors, "tcb_info_issuer_chain", now=now, ledger=ledger, paths=paths)
    if collateral.qe_identity_issuer_chain == chain:
        return first, first
    other = collateral.qe_identity_issuer_chain
    return first, _signer(other, anchors, "qe_identity_issuer_chain", now=now, ledger=ledger, paths=paths)


@keeps("T7.6.1", "T7.6.2", "T7.6.3", "T7.6.4", "T7.6.5", "T7.6.6", "T7.7")
def _signer(
    pem: bytes,
    anchors: tuple[CertificateFields, ...],
    where: str,
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None,
) -> CertificateFields:
    leaf, others = read_chain(pem, anchors, where, paths=paths)
    path = verify_chain(leaf, others, anchors, rules=_SIGNER_RULES, now=now, ledger=ledger, paths=paths)
    usage = leaf.key_usage
    signs = usage is not None and usage.digital_signature and not usage.key_cert_sign
    name = common_name(leaf.subject, where)
    platform = any(extension.oid == SGX_EXTENSIONS for extension in leaf.certificate.extensions)
    ledger.holds(
        "T7.7",
        "the certificate is the one for TCB statements",
        expected=(_SIGNER_NAME, "no CA, for signatures, of no platform, signed by the root"),
        got=(name, "a CA" if leaf.is_ca else "no CA", "a platform's" if platform else "no platform's", len(path)),
        condition=not leaf.is_ca and signs and not platform and name == _SIGNER_NAME and len(path) == _SIGNER_PATH,
    )
    return leaf


@keeps("T7.3.1", "T7.3.2", "T7.3.3", "T7.4.1", "T7.4.2", "T7.4.3", "T7.5")
def _revocation(
    facts: QuoteFacts,
    collateral: Collateral,
    signers: tuple[CertificateFields, CertificateFields],
    *,
    ages: Ages,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None,
) -> tuple[int, int]:
    """Return the numbers of the two lists."""
    pck, issuer, root = facts.path
    for authority in (issuer, root):
        usage = authority.key_usage
        can = usage is not None and usage.crl_sign
        what = "the CA's key may sign revocation lists"
        ledger.holds("T7.5", what, expected="cRLSign", got="cRLSign" if can else "no cRLSign", condition=can)
    rules = CrlRules("T7.3", "the PCK's CA", ages.pck_crl)
    pck_number = verify_crl(collateral.pck_crl, issuer, (pck,), rules=rules, now=now, ledger=ledger, paths=paths)
    rules = CrlRules("T7.4", "Intel's root", ages.root_crl)
    below = (issuer, *(signers if signers[0] is not signers[1] else signers[:1]))
    return pck_number, verify_crl(collateral.root_crl, root, below, rules=rules, now=now, ledger=ledger, paths=paths)


@keeps("T7.8", "T7.9", "T7.13", "T11.2")
def _tcb_info(
    document: bytes, signer: CertificateFields, max_age: timedelta, now: datetime, ledger: Ledger
) -> tuple[SignedStatement, TcbInfo]:
    statement = parse_statement(document, TCB_INFO)
    verdict = signature_verdict(signer.public_key, statement.signature, statement.signed)
    ledger.equal("T7.8", "Intel signed the TCB info, as received", expected="valid", got=verdict)
    start, end = statement.issued, statement.next_update
    ledger.holds(
        "T7.9",
        "the TCB info is in date",
        expected=Phrase(("from", start, "to", end)),
        got=now,
        condition=start <= now <= end,
    )
    what = "the TCB info is no older than the caller's limit"
    ledger.holds(
        "T11.2", what, expected=Phrase(("at most", max_age)), got=now - start, condition=now - start <= max_age
    )
    got = (statement.id, statement.version)
    ledger.equal("T7.13", "the TCB info is one for TDX", expected=(TDX_ID, TDX_VERSION), got=got)
    return statement, parse_tcb_info(statement.value)


@keeps("T7.11", "T7.12", "T7.14", "T11.3")
def _qe_identity(
    document: bytes, signer: CertificateFields, max_age: timedelta, now: datetime, ledger: Ledger
) -> tuple[SignedStatement, QeIdentity]:
    statement = parse_statement(document, QE_IDENTITY)
    verdict = signature_verdict(signer.public_key, statement.signature, statement.signed)
    ledger.equal("T7.11", "Intel signed the QE identity, as received", expected="valid", got=verdict)
    start, end = statement.issued, statement.next_update
    ledger.holds(
        "T7.12",
        "the QE identity is in date",
        expected=Phrase(("from", start, "to", end)),
        got=now,
        condition=start <= now <= end,
    )
    what = "the QE identity is no older than the caller's limit"
    ledger.holds(
        "T11.3", what, expected=Phrase(("at most", max_age)), got=now - start, condition=now - start <= max_age
    )
    got = (statement.id, statement.version)
    ledger.equal("T7.14", "the QE identity is one for TDX", expected=(QE_ID, QE_VERSION), got=got)
    return statement, parse_qe_identity(statement.value)


@keeps("T7.15", "T7.16", "T7.17", "T7.18")
def _platform(facts: QuoteFacts, tcb: TcbInfo, ledger: Ledger) -> None:
    pck, body = facts.pck, facts.body
    ledger.equal("T7.15", "the TCB info is for this kind of platform (FMSPC)", expected=pck.fmspc, got=tcb.fmspc)
    ledger.equal("T7.16", "the TCB info is for this PCE", expected=pck.pce_id, got=tcb.pce_id)
    # A version that Intel states nothing about is no identity that differs: it has no level, so its status is NoMatch.
    module = module_identity(tcb, body.tee_tcb_svn) or tcb.module
    what = "the signer of the TDX module is the one that Intel states"
    ledger.equal("T7.17", what, expected=module.mr_signer, got=body.mr_signer_seam)
    what = "the TDX module's attributes are those that Intel states, under its mask"
    got = _masked(body.seam_attributes, module.mask)
    ledger.equal("T7.18", what, expected=module.attributes, got=got)


@keeps("T6.9", "T6.10", "T6.11", "T6.12")
def _quoting_enclave(report: QeReport, identity: QeIdentity, ledger: Ledger) -> None:
    what = "the quoting enclave's signer is Intel's"
    ledger.equal("T6.9", what, expected=identity.mr_signer, got=report.mr_signer)
    what = "the quoting enclave is the product that Intel states"
    ledger.equal("T6.10", what, expected=identity.isv_prod_id, got=report.isv_prod_id)
    what = "the quoting enclave's attributes are those that Intel states, under its mask"
    got = _masked(report.attributes, identity.attributes_mask)
    ledger.equal("T6.11", what, expected=identity.attributes, got=got)
    what = "the quoting enclave's MISCSELECT is the one that Intel states, under its mask"
    got = _masked(report.misc_select, identity.misc_select_mask)
    ledger.equal("T6.12", what, expected=identity.misc_select, got=got)


def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes([a & b for a, b in zip(value, mask, strict=True)])
