"""X.509 certificates: DER to the fields that a verifier looks at (RFC 5280).

Nothing here checks a signature. An extension that ``cryptography`` cannot read makes the whole certificate unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.errors import EvidenceError

# What `cryptography` raises on bytes that it does not like; its exceptions have no common base.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """One certificate, read once. ``path_length`` is None where a CA states none.

    ``subject_key`` and ``authority_key`` are key identifiers, empty where there is none: hints for finding an issuer
    sooner, which prove nothing.
    """

    certificate: x509.Certificate
    not_before: datetime
    not_after: datetime
    signature_hash: hashes.HashAlgorithm | None
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    is_ca: bool
    path_length: int | None
    key_usage: x509.KeyUsage | None
    extended_key_usage: frozenset[str]
    critical: frozenset[str]
    fingerprint: bytes
    subject_key: bytes = b""
    authority_key: bytes = b""


def parse_certificate(der: bytes, where: str) -> CertificateFields:
    """Read a certificate to its last byte.

    Raises:
        EvidenceError: it is not one, or its key is neither RSA nor on an elliptic curve.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions
        key = certificate.public_key()
        signature_hash = certificate.signature_hash_algorithm
    except _UNREADABLE as error:
        raise EvidenceError(where, "not an X.509 certificate that can be read") from error
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise EvidenceError(where, "the certificate's key is neither RSA nor on an elliptic curve")
    found = {extension.oid: extension.value for extension in extensions}
    constraints, usage = found.get(x509.BasicConstraints.oid), found.get(x509.KeyUsage.oid)
    extended = found.get(x509.ExtendedKeyUsage.oid)
    subject_key, authority = found.get(x509.SubjectKeyIdentifier.oid), found.get(x509.AuthorityKeyIdentifier.oid)
    is_ca = isinstance(constraints, x509.BasicConstraints) and constraints.ca
    return CertificateFields(
        certificate=certificate,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        signature_hash=signature_hash,
        public_key=key,
        is_ca=is_ca,
        path_length=constraints.path_length if isinstance(constraints, x509.BasicConstraints) else None,
        key_usage=usage if isinstance(usage, x509.KeyUsage) else None,
        extended_key_usage=frozenset(
            [oid.dotted_string for oid in (extended if isinstance(extended, x509.ExtendedKeyUsage) else ())]
        ),
        critical=frozenset([extension.oid.dotted_string for extension in extensions if extension.critical]),
        fingerprint=sha256(der).digest(),
        subject_key=subject_key.digest if isinstance(subject_key, x509.SubjectKeyIdentifier) else b"",
        authority_key=(authority.key_identifier or b"") if isinstance(authority, x509.AuthorityKeyIdentifier) else b"",
    )


def spki_digest(der: bytes, where: str) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo.

    Raises:
        EvidenceError: it is not a certificate.
    """
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except _UNREADABLE as error:
        raise EvidenceError(where, "not an X.509 certificate that can be read") from error
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
