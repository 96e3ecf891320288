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
from client_sdk.parse.names import common_name
from client_sdk.verify.chain import issuer_of

MAX_ADDRESSES = 8
FOLDER = "tpm/"
Authorities = tuple[CertificateFields, ...]


def plan(certificates: tuple[bytes, ...], roots: Authorities, given: Authorities) -> tuple[Wanted, ...]:
    """Say what is missing above an attestation key; the first certificate is the key's, as a TPM's padded image or not.

    ``given`` are CAs that the operator has: some of Azure's certificates do not say where their issuer's is.

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
    return above(pairs[-1][1] if pairs else read[0], roots, given)


def follow(der: bytes, roots: Authorities, given: Authorities) -> tuple[Wanted, ...]:
    """Say what a CA that was fetched needs above itself.

    Raises:
        EvidenceError: as for :func:`plan`.
    """
    return above(parse_certificate(der, "CA of an attestation key"), roots, given)


def above(certificate: CertificateFields, roots: Authorities, given: Authorities) -> tuple[Wanted, ...]:
    """Want the issuer of a certificate, unless it is a root or one of the pinned roots issued it."""
    if is_root(certificate) or climb(certificate, roots):
        return ()
    about = (_der(certificate),)
    if issuer := issuer_of(certificate, given):
        return (Wanted(Kind.ISSUER, FOLDER, (), about=about, given=_der(issuer)),)
    if not (urls := addresses(certificate.certificate)):
        name = common_name(certificate.issuer, "ak_certificates")
        raise EvidenceError(
            "ak_certificates", f"{name[:64]!r} is missing, and nothing says where it is; give it by --ca"
        )
    return (Wanted(Kind.ISSUER, FOLDER, urls, about=about),)


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


def _der(certificate: CertificateFields) -> bytes:
    return certificate.certificate.public_bytes(Encoding.DER)
