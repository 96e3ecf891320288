"""X.509 certificates: DER to the fields that a verifier looks at (RFC 5280).

Nothing here checks a signature. An extension that ``cryptography`` cannot read makes the whole certificate unreadable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.errors import EvidenceError
from client_sdk.parse.names import certificate_names

# What `cryptography` raises on bytes that it does not like; its exceptions have no common base. Its warnings are among
# them where warnings are errors.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UserWarning,
)
# Certificate, TBSCertificate, perhaps a version, and the serial number up to its first byte (RFC 5280, section 4.1).
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..)"
_SERIAL = re.compile(
    rb"(\x30" + _LENGTH + rb")\x30(" + _LENGTH + rb")(?:\xa0\x03\x02\x01.)?\x02([\x01-\x7f])(.)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """One certificate, read once. ``path_length`` is None where a CA states none.

    ``tbs``, ``serial`` and ``fingerprint`` are those of the received bytes; ``certificate`` is the same certificate but
    for a serial number of 0, which is 1 there (:func:`parse_certificate` says why). ``issuer`` and ``subject`` (names
    as DER), ``issuer_key_id`` and ``key_id`` (RFC 5280, sections 4.2.1.1 and 4.2.1.2) are hints about whose key to try
    first, which prove nothing.
    """

    certificate: x509.Certificate
    tbs: bytes
    serial: int
    issuer: bytes
    subject: bytes
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
    key_id: bytes | None
    issuer_key_id: bytes | None


def parse_certificate(der: bytes, where: str) -> CertificateFields:
    """Read a certificate to its last byte.

    A serial number of 0 is read: AMD's certificates of chip keys have it. ``cryptography`` warns about it, will refuse
    it one day, and a filter of warnings belongs to the whole process and is not safe between threads. So it is given a
    copy with 1 in that byte, in which nothing else differs, and the signature is checked over the bytes as they came.

    Raises:
        EvidenceError: it is not one, its serial number is negative, it names two signature algorithms (RFC 5280,
            section 4.1.1.2), or its key is neither RSA nor on an elliptic curve.
    """
    certificate, start, end, serial = _load(der, where)
    tbs = der[start:end]
    try:
        extensions = certificate.extensions
        key = certificate.public_key()
        signature_hash = certificate.signature_hash_algorithm
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc  # a year may be 0
    except _UNREADABLE as error:
        raise EvidenceError(where, "not an X.509 certificate that can be read") from error
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise EvidenceError(where, "the certificate's key is neither RSA nor on an elliptic curve")
    algorithm, issuer, subject = certificate_names(tbs, where)
    if not (der.startswith(algorithm, end) and der.endswith(b"\0" + certificate.signature)):
        # Nothing signs these bytes: without this check one certificate would have many fingerprints.
        raise EvidenceError(
            where, "the certificate names two signature algorithms, or its signature is not whole bytes"
        )
    return CertificateFields(
        certificate=certificate,
        tbs=tbs,
        serial=serial,
        issuer=issuer,
        subject=subject,
        not_before=not_before,
        not_after=not_after,
        signature_hash=signature_hash,
        public_key=key,
        fingerprint=sha256(der).digest(),
        **_extensions(extensions),
    )


def _extensions(extensions: x509.Extensions) -> dict[str, Any]:
    """Return the fields that come from extensions."""
    found, critical = {}, []
    for extension in extensions:
        found[extension.oid] = extension.value
        if extension.critical:
            critical.append(extension.oid.dotted_string)
    constraints, usage = found.get(x509.BasicConstraints.oid), found.get(x509.KeyUsage.oid)
    extended = found.get(x509.ExtendedKeyUsage.oid)
    own, above = found.get(x509.SubjectKeyIdentifier.oid), found.get(x509.AuthorityKeyIdentifier.oid)
    purposes = extended if isinstance(extended, x509.ExtendedKeyUsage) else ()
    return {
        "critical": frozenset(critical),
        "is_ca": isinstance(constraints, x509.BasicConstraints) and constraints.ca,
        "path_length": constraints.path_length if isinstance(constraints, x509.BasicConstraints) else None,
        "key_usage": usage if isinstance(usage, x509.KeyUsage) else None,
        "extended_key_usage": frozenset([oid.dotted_string for oid in purposes]),
        "key_id": own.digest if isinstance(own, x509.SubjectKeyIdentifier) else None,
        "issuer_key_id": above.key_identifier if isinstance(above, x509.AuthorityKeyIdentifier) else None,
    }


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


def _load(der: bytes, where: str) -> tuple[x509.Certificate, int, int, int]:
    """Return the certificate, where the bytes that its issuer signed start and end, and its serial number."""
    found = _SERIAL.match(der)
    if found is None:
        raise EvidenceError(where, "not an X.509 certificate that can be read")
    length, size, first = found[2], found[3][0], found[4][0]
    if first >= 0x80:
        raise EvidenceError(where, "the certificate's serial number is negative")
    zero = size == 1 and first == 0
    readable = der[: found.start(4)] + b"\x01" + der[found.end(4) :] if zero else der
    try:
        certificate = x509.load_der_x509_certificate(readable)
        serial = 0 if zero else certificate.serial_number
    except _UNREADABLE as error:
        raise EvidenceError(where, "not an X.509 certificate that can be read") from error
    content = int.from_bytes(length[1:] or length, "big")
    return certificate, found.end(1), found.end(2) + content, serial
