"""The certificate of a key that signs SEV-SNP reports: VCEK ← ASK ← ARK, or VLEK ← ASVK ← ARK.

(T2.1 to T2.6) The chain to a pinned ARK, rule by rule in ``chain.py``. An issuer without a keyUsage is taken, as RFC
5280 has it; AMD's have one.
(T2.7) The pinned ARK is signed by itself, so it is a root.
(T2.8) The path is exactly the three certificates of AMD's hierarchy, by the names that the ARK vouches for: a VCEK
stands under the product's ASK, a VLEK under its ASVK.
(T2.9) The key is on the curve P-384 and (T2.10) its certificate is no CA's.
(T3.1) The product that the certificate names is of the product line of the pinned ARK. (T3.2) It has that product's
patch levels, all and no others, and for a chip a hardware id of that product's size.
(T11.amd.1 to T11.amd.3) Where a revocation list is given, it is the ARK's, in date, and has none of these certificates.
Whether one must be given, and of which number, is policy.

It proves whose key it is and for which chip or cloud provider and TCB it was made, not that it signed anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.errors import EvidenceError
from client_sdk.parse.amd_certificate import LEVELS, VekFields, read_vek
from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.names import common_name
from client_sdk.parse.snp import Product, Tcb, parse_tcb
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.chain import ChainRules, VerifiedPaths, read_certificate, verify_chain, verify_self_signed
from client_sdk.verify.crl import CrlRules, verify_crl

MAX_OTHERS = 16
_RULES = ChainRules("T2", "the signing key's certificate", usage_may_be_absent=True)
_PINNED = {f"ARK-{product}": product for product in Product}
_HWID_SIZE = {Product.MILAN: 64, Product.GENOA: 64, Product.TURIN: 8}


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A stapled list of the ARK, in DER, and how old the caller lets it be besides its own dates."""

    der: bytes
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class VerifiedVek:
    """A key that AMD certified for a chip (``hwid``) or for a cloud provider (``csp_id``) with this TCB.

    ``tcb`` are the bytes that a report's REPORTED_TCB must have. ``crl_number`` is None where no list was given.
    """

    product: Product
    key: ec.EllipticCurvePublicKey
    is_vlek: bool
    hwid: bytes
    csp_id: str
    tcb: bytes
    levels: Tcb
    serial: int
    fingerprint: bytes
    ark: bytes
    not_after: datetime
    crl_number: int | None


@keeps("T2.1", "T2.2", "T2.3", "T2.4", "T2.5", "T2.6", "T11.amd.1", "T11.amd.2", "T11.amd.3")
def verify_vek(
    vek: bytes,
    others: tuple[bytes, ...],
    arks: tuple[CertificateFields, ...],
    *,
    revocation: RevocationList | None,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> VerifiedVek:
    """Check a VCEK's or VLEK's certificate against pinned ARKs; ``others`` may help, in any order.

    Raises:
        EvidenceError: a certificate or the list cannot be read.
        VerificationError: T2, T3 or T11.
    """
    fields = read_vek(read_certificate(vek, "vek", paths), "vek")
    if len(others) > MAX_OTHERS:
        raise EvidenceError("amd_chain", f"{len(others)} certificates are over the limit of {MAX_OTHERS}")
    pinned = {ark.fingerprint for ark in arks}
    helpers = tuple(
        [
            read_certificate(der, f"amd_chain[{i}]", paths)
            for i, der in enumerate(others)
            if sha256(der).digest() not in pinned  # bundles bring the ARK along
        ]
    )
    path = verify_chain(fields.fields, helpers, arks, rules=_RULES, now=now, ledger=ledger, paths=paths)
    product = _hierarchy(path, fields, now=now, ledger=ledger, paths=paths)
    key = _key(fields, ledger)
    _product(fields, product, ledger)
    number = None
    if revocation is not None:
        rules = CrlRules("T11.amd", "AMD's intermediate", revocation.max_age)
        number = verify_crl(revocation.der, path[-1], path[1:], rules=rules, now=now, ledger=ledger, paths=paths)
    tcb = bytes([fields.levels[number] for number in LEVELS[product]])
    return VerifiedVek(
        product=product,
        key=key,
        is_vlek=fields.is_vlek,
        hwid=fields.hwid,
        csp_id=fields.csp_id,
        tcb=tcb,
        levels=parse_tcb(tcb, product),
        serial=fields.fields.serial,
        fingerprint=fields.fields.fingerprint,
        ark=path[-1].fingerprint,
        not_after=fields.fields.not_after,
        crl_number=number,
    )


@keeps("T2.7", "T2.8")
def _hierarchy(
    path: tuple[CertificateFields, ...],
    vek: VekFields,
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None,
) -> Product:
    """Return the product line of the pinned ARK."""
    ark = path[-1]
    try:
        verify_self_signed(ark, now=now, paths=paths)
    except InvalidSignature:
        signer = "another key"
    else:
        signer = "itself"
    ledger.equal("T2.7", "the pinned ARK is signed by itself", expected="itself", got=signer)
    names = tuple([common_name(link.subject, "amd_chain") for link in path[1:]])
    ledger.holds(
        "T2.8",
        "the pinned ARK is of a known product line",
        expected=tuple(_PINNED),
        got=names[-1],
        condition=names[-1] in _PINNED,
    )
    product = _PINNED[names[-1]]
    expected = (f"SEV-VLEK-{product}" if vek.is_vlek else f"SEV-{product}", f"ARK-{product}")
    what = (
        "the path is AMD's: the VLEK's ASVK, then the ARK"
        if vek.is_vlek
        else "the path is AMD's: the ASK, then the ARK"
    )
    ledger.equal("T2.8", what, expected=expected, got=names)
    return product


@keeps("T2.9", "T2.10")
def _key(vek: VekFields, ledger: Ledger) -> ec.EllipticCurvePublicKey:
    key = vek.fields.public_key
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "RSA"
    ledger.equal("T2.9", "the signing key is on the curve P-384", expected=ec.SECP384R1.name, got=curve)
    ledger.equal("T2.10", "the signing key's certificate is not a CA's", expected=False, got=vek.fields.is_ca)
    return key  # type: ignore[return-value]  # its curve was just compared


@keeps("T3.1", "T3.2")
def _product(vek: VekFields, product: Product, ledger: Ledger) -> None:
    ledger.holds(
        "T3.1",
        "the certificate's product is of the pinned ARK's line",
        expected=product,
        got=vek.product_name,
        condition=vek.product is product,
    )
    size = 0 if vek.is_vlek else _HWID_SIZE[product]
    ledger.equal(
        "T3.2",
        "the certificate has the product's patch levels, and a hardware id of its size",
        expected=(tuple(sorted(LEVELS[product])), size),
        got=(tuple(sorted(vek.levels)), len(vek.hwid)),
    )
