"""X.509 certificates: DER to the fields that a verifier looks at (RFC 5280).

Nothing here checks a signature. An extension that ``cryptography`` cannot read makes the whole certificate unreadable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from client_sdk.errors import EvidenceError

# What `cryptography` raises on bytes that it does not like; its exceptions have no common base. The warning is one of
# them where warnings are errors.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
)
# Certificate, TBSCertificate, perhaps a version, and the serial number up to its first byte (RFC 5280, section 4.1).
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..)"
_SERIAL = re.compile(
    rb"(\x30" + _LENGTH + rb")\x30" + _LENGTH + rb"(?:\xa0\x03\x02\x01.)?\x02([\x01-\x7f])(.)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """One certificate, read once. ``path_length`` is None where a CA states none.

    ``tbs``, ``serial`` and ``fingerprint`` are those of the received bytes; ``certificate`` is the same certificate but
    for a serial number of 0, which is 1 there (:func:`parse_certificate` says why).
    """

    certificate: x509.Certificate
    tbs: bytes
    serial: int
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


def parse_certificate(der: bytes, where: str) -> CertificateFields:
    """Read a certificate to its last byte.

    A serial number of 0 is read: every certificate of an AMD chip has it (AMD 57230, section 3). ``cryptography`` warns
    about it, will refuse it one day, and a filter of warnings belongs to the whole process and is not safe between
    threads. So it is given a copy with 1 in that byte, in which nothing else differs, and the signature is checked over
    the bytes as they came.

    Raises:
        EvidenceError: it is not one, its serial number is negative, or its key is neither RSA nor on an elliptic curve.
    """
    certificate, tbs, serial = _load(der, where)
    try:
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
    is_ca = isinstance(constraints, x509.BasicConstraints) and constraints.ca
    return CertificateFields(
        certificate=certificate,
        tbs=tbs,
        serial=serial,
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
    )


def spki_digest(der: bytes, where: str) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo.

    Raises:
        EvidenceError: it is not a certificate.
    """
    try:
        key = _load(der, where)[0].public_key()
    except _UNREADABLE as error:
        raise EvidenceError(where, "not an X.509 certificate that can be read") from error
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _load(der: bytes, where: str) -> tuple[x509.Certificate, bytes, int]:
    """Return the certificate, the bytes that its issuer signed, and its serial number."""
    found = _SERIAL.match(der)
    if found is None:
        raise EvidenceError(where, "not an X.509 certificate that can be read")
    size, first = found[2][0], found[3][0]
    if first >= 0x80:
        raise EvidenceError(where, "the certificate's serial number is negative")
    zero = size == 1 and first == 0
    try:
        if not zero:
            certificate = x509.load_der_x509_certificate(der)
            return certificate, certificate.tbs_certificate_bytes, certificate.serial_number
        certificate = x509.load_der_x509_certificate(der[: found.start(3)] + b"\x01" + der[found.end(3) :])
    except _UNREADABLE as error:
        raise EvidenceError(where, "not an X.509 certificate that can be read") from error
    start = found.end(1)
    return certificate, der[start : start + len(certificate.tbs_certificate_bytes)], 0
