"""A TDX quote: what a CPU of Intel's says about a TD, signed on the way from the TD up to Intel's root.

(T6.1) The version is 4 or 5, (T6.2) the TEE is TDX, (T6.3) the attestation key is ECDSA over P-256, (T6.4) the
quoting enclave is Intel's.
(T6.5) The attestation key signed header, body descriptor and body, as received.
(T6.8) The quoting enclave is certified by a chain of PCK certificates inside the quote.
(T6.6) The PCK's key signed the report of the quoting enclave.
(T6.7) That report names the attestation key: ``SHA-256(key ‖ QE data)``, then 32 zero bytes.
(T7.1) The PCK certificate chains to Intel's pinned root, rule by rule in ``chain.py``. (T7.2) It is a PCK
certificate: no CA, for signatures, a P-256 key, with one CA of Intel's between it and the root.
(T8.1) Reserved TD attributes are zero. (T8.2) XFAM has what every TD has and nothing that no TD may have.
(T8.3) MRSIGNERSEAM and (T8.4) the SEAM attributes are zero: the TDX module is Intel's own, and no debug build.
(T1.1) All 64 bytes of report data are the expected ones (:func:`verify_report_data`).

It does not prove that the platform is up to date, that nothing was revoked, or that the quoting enclave is the one
that Intel names: that takes collateral (``tdx_collateral.py``). What the TD measured is compared by policy.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.parse.pck import Pck, parse_pck
from client_sdk.parse.tdx import CERTIFICATION_PCK_CHAIN, VERSIONS, Body, Header, TdxQuote, parse_header, parse_quote
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.chain import ChainRules, VerifiedPaths, read_certificate, verify_chain

TEE_TDX, KEY_ECDSA_P256 = 0x81, 2
INTEL_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
REPORT_DATA_SIZE = 64
DEBUG, SEPT_VE_DISABLE, MIGRATABLE, PERFMON = 1 << 0, 1 << 28, 1 << 29, 1 << 63
LASS, PKS, KEY_LOCKER = 1 << 27, 1 << 30, 1 << 31
# Further bits with a name: profiling (4 to 6), ICSSD (16), TPA (62). Policy judges them; every other one is reserved.
KNOWN_ATTRIBUTES = DEBUG | 0x7 << 4 | 1 << 16 | LASS | SEPT_VE_DISABLE | MIGRATABLE | PKS | KEY_LOCKER
KNOWN_ATTRIBUTES |= 1 << 62 | PERFMON
# TDX Module Base Architecture Specification, on XFAM: x87 and SSE always; AVX, AVX-512, PT, PKRU, CET, ULI, LBR, AMX.
XFAM_ALWAYS, XFAM_POSSIBLE = 0x3, 0x6DBE7
PCK_PATH = 3  # the PCK certificate, a CA, the root
_ECDSA = ec.ECDSA(SHA256())
_PCK_RULES = ChainRules("T7.1", "the PCK certificate")
_ZERO_48 = bytes(48)


@dataclass(frozen=True, slots=True)
class QuoteFacts:
    """A quote that comes from a genuine Intel platform, of unknown TCB. ``path`` is PCK certificate, CA, root."""

    header: Header
    body: Body
    quote: TdxQuote
    pck: Pck
    path: tuple[CertificateFields, ...]
    verified_at: datetime


@keeps(*_PCK_RULES.ids)
def verify_quote(
    quote: bytes,
    anchors: tuple[CertificateFields, ...],
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> QuoteFacts:
    """Check a quote from its signature up to a pinned root of Intel's.

    Raises:
        EvidenceError: malformed structures.
        VerificationError: T6.1 to T6.8, T7.1, T7.2 or T8.1 to T8.4.
    """
    _header(parse_header(quote), ledger)
    parsed = parse_quote(quote)
    _certification(parsed, ledger)
    leaf, others = read_chain(parsed.certification, anchors, "quote PCK chain", paths=paths)
    _signatures(parsed, leaf, ledger)
    path = verify_chain(leaf, others, anchors, rules=_PCK_RULES, now=now, ledger=ledger, paths=paths)
    _purpose(path, ledger)
    pck = parse_pck(leaf.certificate, "the PCK certificate")
    _structure(parsed.body, ledger)
    return QuoteFacts(parsed.header, parsed.body, parsed, pck, path, now)


@keeps("T1.1")
def verify_report_data(body: Body, expected: bytes, *, ledger: Ledger) -> None:
    """Check what the TD bound itself to: all 64 bytes, in constant time.

    Raises:
        VerificationError: T1.1.
    """
    ledger.holds(
        "T1.1",
        "the TD's report data are what the caller expects, all 64 bytes",
        expected=expected,
        got=body.report_data,
        condition=len(expected) == REPORT_DATA_SIZE and hmac.compare_digest(expected, body.report_data),
    )


@keeps("T6.1", "T6.2", "T6.3", "T6.4")
def _header(header: Header, ledger: Ledger) -> None:
    version = header.version
    # The TEE first: a quote of SGX has the other version numbers, too, and its TEE is what is wrong with it.
    tee = header.tee_type
    what = "the quote is one of a TD"
    ledger.holds("T6.2", what, expected=hex(TEE_TDX), got=hex(tee), condition=tee == TEE_TDX)
    what = "the quote's version is one of TDX"
    ledger.holds("T6.1", what, expected=VERSIONS, got=version, condition=version in VERSIONS)
    ledger.equal("T6.3", "the attestation key is ECDSA, P-256", expected=KEY_ECDSA_P256, got=header.key_type)
    ledger.equal("T6.4", "the quoting enclave is Intel's", expected=INTEL_QE_VENDOR, got=header.vendor)


@keeps("T6.8")
def _certification(quote: TdxQuote, ledger: Ledger) -> None:
    what = "the quoting enclave is certified by a chain of PCK certificates"
    ledger.equal("T6.8", what, expected=CERTIFICATION_PCK_CHAIN, got=quote.certification_kind)


def read_chain(
    pem: bytes, anchors: tuple[CertificateFields, ...], where: str, *, paths: VerifiedPaths | None
) -> tuple[CertificateFields, tuple[CertificateFields, ...]]:
    """Return the first certificate of a chain and the others, leaving out copies of pinned ones: they add nothing.

    Raises:
        EvidenceError: a certificate cannot be read.
    """
    first, *rest = parse_chain(pem, where)
    pinned = {anchor.fingerprint for anchor in anchors}
    new = [der for der in rest if sha256(der).digest() not in pinned]
    others = tuple([read_certificate(der, f"{where}[{i}]", paths) for i, der in enumerate(new, 1)])
    return read_certificate(first, f"{where}[0]", paths), others


@keeps("T6.5", "T6.6", "T6.7")
def _signatures(quote: TdxQuote, leaf: CertificateFields, ledger: Ledger) -> None:
    raw = quote.attestation_key
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)
    except ValueError as error:
        raise EvidenceError("quote attestation key", "not a point on P-256") from error
    verdict = signature_verdict(key, quote.signature, quote.signed)
    ledger.equal("T6.5", "the attestation key signed the quote", expected="valid", got=verdict)
    verdict = signature_verdict(leaf.public_key, quote.qe_signature, quote.qe_signed)
    ledger.equal("T6.6", "the PCK's key signed the quoting enclave's report", expected="valid", got=verdict)
    named = sha256(raw + quote.qe_auth_data).digest() + bytes(32)
    what = "the quoting enclave's report names the attestation key"
    ledger.equal("T6.7", what, expected=named, got=quote.qe_report.report_data)


def signature_verdict(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, signature: bytes, message: bytes) -> str:
    """Say ``valid``, or what is wrong, of an ECDSA signature over P-256 with SHA-256: r then s, big-endian."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        return "a key that is not on P-256"
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, _ECDSA)
    except InvalidSignature:
        return "another key's, or over other bytes"
    return "valid"


@keeps("T7.2")
def _purpose(path: tuple[CertificateFields, ...], ledger: Ledger) -> None:
    leaf, usage = path[0], path[0].key_usage
    signs = usage is not None and usage.digital_signature and not usage.key_cert_sign
    ledger.holds(
        "T7.2",
        "the certificate is one of a platform (PCK)",
        expected="no CA, for signatures, one CA between it and the root",
        got=("a CA" if leaf.is_ca else "no CA", "for signatures" if signs else "for something else", len(path) - 2),
        condition=not leaf.is_ca and signs and len(path) == PCK_PATH,
    )


@keeps("T8.1", "T8.2", "T8.3", "T8.4")
def _structure(body: Body, ledger: Ledger) -> None:
    reserved = body.attributes & ~KNOWN_ATTRIBUTES
    ledger.equal("T8.1", "reserved TD attributes are zero", expected=hex(0), got=hex(reserved))
    xfam = body.xfam
    ledger.holds(
        "T8.2",
        "XFAM is one that a TD can have",
        expected=f"{XFAM_ALWAYS:#x} set, nothing outside {XFAM_POSSIBLE:#x}",
        got=hex(xfam),
        condition=xfam & XFAM_ALWAYS == XFAM_ALWAYS and not xfam & ~XFAM_POSSIBLE,
    )
    what = "the TDX module is signed by Intel (MRSIGNERSEAM is zero)"
    ledger.equal("T8.3", what, expected=_ZERO_48, got=body.mr_signer_seam)
    ledger.equal("T8.4", "the SEAM attributes are zero", expected=bytes(8), got=body.seam_attributes)
