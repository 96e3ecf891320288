"""The certificate chain of a TPM's endorsement key, up to a CA that the caller pinned.

(K1.1) Each certificate is signed by the next one's *key*, and the last by a pinned CA's. Names are not compared:
several CAs share one, and a name proves nothing.
(K1.2) Each certificate, the CA included, is inside its dates at ``now``.
(K1.3) Each issuer is a CA by basicConstraints, with room in its pathlen.
(K1.4) Each issuer's keyUsage has keyCertSign.
(K1.5) Each critical extension is one that this file understands.
(K1.6) Signatures are over SHA-256 or stronger.
(K2.1) The leaf is no CA. (K2.2) Its keyUsage is that of an encryption key and not that of a signing key.
(K2.3) Where it has an extended key usage, that names endorsement keys.

A chain proves who vouches for the key, not that the peer holds it: that is rule Q8.
"""

from __future__ import annotations

from datetime import datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.report import Ledger
from client_sdk.roots import Roots

MAX_DEPTH = 4
EK_PURPOSE = "2.23.133.8.1"
# basicConstraints, keyUsage and extKeyUsage are checked below. A TPM's subjectAltName names its model (the certificate
# has no usable subject), which no rule relies on: the key is proven by activation, not by a name.
_UNDERSTOOD = frozenset({"2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"})
_USES = ("digitalSignature", "keyEncipherment", "keyAgreement", "keyCertSign")
_ECDSA = {used.name: ec.ECDSA(used) for used in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())}
_HASHES = tuple(_ECDSA)


def verify_ek_chain(
    certificates: tuple[bytes, ...], roots: Roots, *, now: datetime, ledger: Ledger
) -> tuple[CertificateFields, CertificateFields]:
    """Return the leaf and the pinned CA that it chains to; the first certificate is the leaf, the others may help.

    Raises:
        EvidenceError: a certificate cannot be read.
        VerificationError: K1 or K2.
    """
    if not certificates:
        raise EvidenceError("$.ek_certificates", "there is no certificate of an endorsement key")
    read = tuple(parse_certificate(der, f"$.ek_certificates[{i}]") for i, der in enumerate(certificates))
    path = _path_to_root(read[0], read[1:], roots, ledger)
    _dates(path, now, ledger)
    _issuers(path, ledger)
    _extensions(path, ledger)
    _purpose(path[0], ledger)
    return path[0], path[-1]


def _path_to_root(
    leaf: CertificateFields, others: tuple[CertificateFields, ...], roots: Roots, ledger: Ledger
) -> tuple[CertificateFields, ...]:
    path, left = [leaf], list(others)
    while len(path) <= MAX_DEPTH:
        if anchor := _issuer(path[-1], roots.anchors):
            path.append(anchor)
            break
        if (link := _issuer(path[-1], tuple(left))) is None:
            break
        left.remove(link)
        path.append(link)
    pinned = tuple([anchor.fingerprint for anchor in roots.anchors])
    ledger.holds(
        "K1.1",
        "the TPM's certificate chains to the CA that you pinned (another CA: another TPM maker, or not that VM)",
        expected=pinned,
        got=tuple([link.fingerprint for link in path[1:]]) or "signed by none of them",
        condition=len(path) > 1 and path[-1].fingerprint in pinned,
    )
    return tuple(path)


def _issuer(subject: CertificateFields, candidates: tuple[CertificateFields, ...]) -> CertificateFields | None:
    """Return the candidate whose key signed the subject."""
    for candidate in candidates:
        try:
            _verify_signature(subject, candidate.public_key)
        except (InvalidSignature, UnsupportedAlgorithm):
            continue
        return candidate
    return None


def _verify_signature(subject: CertificateFields, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> None:
    """Check a certificate's signature by a key, with the hash and padding that the certificate names."""
    certificate, used = subject.certificate, subject.signature_hash
    if used is None:
        raise InvalidSignature
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, _ECDSA.get(used.name) or ec.ECDSA(used))
        return
    scheme = certificate.signature_algorithm_parameters
    if not isinstance(scheme, (padding.PKCS1v15, padding.PSS)):
        raise InvalidSignature
    key.verify(certificate.signature, certificate.tbs_certificate_bytes, scheme, used)


def _dates(path: tuple[CertificateFields, ...], now: datetime, ledger: Ledger) -> None:
    for link in path:
        start, end = link.not_before, link.not_after
        ledger.holds(
            "K1.2",
            "the certificate is inside its dates",
            expected=(start, end),
            got=now,
            condition=start <= now <= end,
        )


def _issuers(path: tuple[CertificateFields, ...], ledger: Ledger) -> None:
    for below, issuer in enumerate(path[1:]):
        room = issuer.path_length is None or issuer.path_length >= below
        ledger.holds(
            "K1.3",
            "the issuer is a CA with room for this path",
            expected=("a CA, pathlen at least", below),
            got=("a CA" if issuer.is_ca else "not a CA", "pathlen", issuer.path_length),
            condition=issuer.is_ca and room,
        )
        usage = issuer.key_usage
        ledger.holds(
            "K1.4",
            "the issuer's key may sign certificates",
            expected="keyCertSign",
            got="keyCertSign" if usage and usage.key_cert_sign else "no keyCertSign",
            condition=usage and usage.key_cert_sign,
        )


def _extensions(path: tuple[CertificateFields, ...], ledger: Ledger) -> None:
    for link in path:
        ledger.equal(
            "K1.5", "critical extensions are understood", expected=(), got=tuple(sorted(link.critical - _UNDERSTOOD))
        )
        name = link.signature_hash.name if link.signature_hash else "none"
        ledger.holds("K1.6", "the signature's hash is strong", expected=_HASHES, got=name, condition=name in _HASHES)


def _purpose(leaf: CertificateFields, ledger: Ledger) -> None:
    ledger.equal("K2.1", "the TPM's certificate is not a CA's", expected=False, got=leaf.is_ca)
    usage = leaf.key_usage
    wanted = "keyEncipherment" if isinstance(leaf.public_key, rsa.RSAPublicKey) else "keyAgreement"
    got: tuple[str, ...] = ()
    if usage is not None:
        flags = (usage.digital_signature, usage.key_encipherment, usage.key_agreement, usage.key_cert_sign)
        got = tuple([name for name, is_set in zip(_USES, flags, strict=True) if is_set])
    ledger.equal("K2.2", "the TPM's certificate is for an encryption key (an EK)", expected=(wanted,), got=got)
    if leaf.extended_key_usage:
        ledger.holds(
            "K2.3",
            "the TPM's certificate is for an endorsement key",
            expected=EK_PURPOSE,
            got=tuple(sorted(leaf.extended_key_usage)),
            condition=EK_PURPOSE in leaf.extended_key_usage,
        )
