"""What is wanted of a vendor: one answer, where it goes, and how large and of what type it may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from client_sdk.parse.crl import MAX_SIZE as MAX_CRL
from client_sdk.parse.intel_collateral import MAX_DOCUMENT
from client_sdk.verify.ocsp import MAX_SIZE as MAX_OCSP

MAX_CERTIFICATE = 64 * 1024
MAX_RIM = 1024 * 1024


class Kind(StrEnum):
    """What an answer is."""

    VCEK = "VCEK certificate"
    AMD_CA = "AMD CA"
    CRL = "revocation list"
    TCB_INFO = "TCB info"
    QE_IDENTITY = "QE identity"
    RIM = "RIM file"
    OCSP = "OCSP response"
    ISSUER = "CA of an attestation key"


@dataclass(frozen=True, slots=True)
class Terms:
    """The bounds of one kind: bytes, media types, and how old our copy may get before we ask again.

    The types are a first sieve against error pages; every answer is parsed as its kind before it is kept.
    """

    limit: int
    types: frozenset[str]
    refresh: timedelta


_BINARY = frozenset({"application/octet-stream", "binary/octet-stream"})
_CERTIFICATE = _BINARY | {"application/pkix-cert", "application/x-x509-ca-cert", "application/x-x509-user-cert"}
_PEM = frozenset({"application/x-pem-file", "application/pem-certificate-chain", "text/plain"})
_CRL = _CERTIFICATE | {"application/pkix-crl", "application/x-pkcs7-crl"}  # some servers go by ".der"
_JSON = frozenset({"application/json"})
_DAY = timedelta(days=1)
TERMS = {
    Kind.VCEK: Terms(MAX_CERTIFICATE, _CERTIFICATE, 90 * _DAY),
    Kind.AMD_CA: Terms(MAX_CERTIFICATE, _CERTIFICATE | _PEM, 30 * _DAY),
    Kind.CRL: Terms(MAX_CRL, _CRL, _DAY),
    Kind.TCB_INFO: Terms(MAX_DOCUMENT, _JSON, _DAY),
    Kind.QE_IDENTITY: Terms(MAX_DOCUMENT, _JSON, _DAY),
    Kind.RIM: Terms(MAX_RIM, _JSON, 30 * _DAY),
    Kind.OCSP: Terms(MAX_OCSP, frozenset({"application/ocsp-response"}), _DAY / 2),
    Kind.ISSUER: Terms(MAX_CERTIFICATE, _CERTIFICATE | _PEM, 30 * _DAY),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One answer. ``urls`` are tried in order; ``request`` is posted where there is one.

    ``path`` is where it goes in the folder; that of a CA (``tpm/``) is known when it is there. ``about`` are the
    certificates that an OCSP response (the certificate, its issuer) or a CA (the certificate that it issued) is for.
    ``given`` is the answer where the operator brought it, so that nobody is asked.
    """

    kind: Kind
    path: str
    urls: tuple[str, ...]
    request: bytes = b""
    about: tuple[bytes, ...] = ()
    given: bytes = b""
