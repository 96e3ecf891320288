"""CAs between a cloud's attestation key and its root that the evidence does not bring: by AIA (RFC 5280, 4.2.2.1).

The addresses stand in certificates that nobody verified yet: ``hosts`` says which of them may be asked at all.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from client_sdk.errors import EvidenceError
from client_sdk.gather.chains import climb, is_root
from client_sdk.gather.wanted import Kind, Wanted
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.der import trim_certificate

MAX_ADDRESSES = 8
FOLDER = "tpm/"


def plan(certificates: tuple[bytes, ...], roots: tuple[CertificateFields, ...]) -> tuple[Wanted, ...]:
    """Say what is missing above an attestation key; the first certificate is the key's, as a TPM's padded image or not.

    Raises:
        EvidenceError: a certificate cannot be read, or the chain breaks off and does not say where it goes on.
    """
    if not certificates:
        return ()
    where = "ak_certificates"
    read = tuple(
        [parse_certificate(trim_certificate(one, where), f"{where}[{i}]") for i, one in enumerate(certificates)]
    )
    pairs = climb(read[0], (*read[1:], *roots))
    return above(pairs[-1][1] if pairs else read[0], roots)


def follow(der: bytes, roots: tuple[CertificateFields, ...]) -> tuple[Wanted, ...]:
    """Say what a CA that was fetched needs above itself.

    Raises:
        EvidenceError: as for :func:`plan`.
    """
    return above(parse_certificate(der, "CA of an attestation key"), roots)


def above(certificate: CertificateFields, roots: tuple[CertificateFields, ...]) -> tuple[Wanted, ...]:
    """Want the issuer of a certificate, unless it is a root or one of the pinned roots issued it."""
    if is_root(certificate) or climb(certificate, roots):
        return ()
    if not (urls := addresses(certificate.certificate)):
        raise EvidenceError("ak_certificates", "no pinned root issued the last certificate, nor does it say who did")
    der = certificate.certificate.public_bytes(Encoding.DER)
    return (Wanted(Kind.ISSUER, FOLDER, urls, about=(der,)),)


def addresses(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return where a certificate says that its issuer's is."""
    found = [e.value for e in certificate.extensions if isinstance(e.value, x509.AuthorityInformationAccess)]
    return tuple(
        str(access.access_location.value)
        for extension in found
        for access in list(extension)[:MAX_ADDRESSES]
        if access.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        and isinstance(access.access_location, x509.UniformResourceIdentifier)
    )
