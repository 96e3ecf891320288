"""Certificate revocation lists: DER to the fields that a verifier looks at (RFC 5280, section 5).

Nothing here checks a signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from client_sdk.errors import EvidenceError
from client_sdk.parse.names import signed_list

MAX_SIZE = 8 * 1024 * 1024
# What `cryptography` raises on bytes that it does not like, its warnings included where warnings are errors.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    UserWarning,
)
# Critical extensions of a list that change nothing for us, or would: a delta or a list for some certificates only.
_UNDERSTOOD = frozenset({"2.5.29.20", "2.5.29.35"})


@dataclass(frozen=True, slots=True)
class CrlFields:
    """One list, read once. ``tbs`` are the bytes that its issuer signed, as they came; ``number`` is 0 without one.

    ``signature_hash`` is None where the algorithm is not known, or has none; ``end`` where the list states none.
    """

    crl: x509.CertificateRevocationList
    tbs: bytes
    signature_hash: hashes.HashAlgorithm | None
    number: int
    start: datetime
    end: datetime | None


def parse_crl(der: bytes, where: str) -> CrlFields:
    """Read a list to its last byte.

    The signed bytes are cut out of what came: to make them again costs more than to check their signature.

    Raises:
        EvidenceError: it is not one, is too large, has a critical extension that is not understood, names two
            signature algorithms (RFC 5280, section 5.1.1.2), or its signature is not whole bytes.
    """
    if len(der) > MAX_SIZE:
        raise EvidenceError(where, f"over the limit of {MAX_SIZE} bytes")
    try:
        crl = x509.load_der_x509_crl(der)
        extensions = crl.extensions
        start, end = crl.last_update_utc, crl.next_update_utc  # a year may be 0
        number = next((e.value.crl_number for e in extensions if isinstance(e.value, x509.CRLNumber)), 0)
    except _UNREADABLE as error:
        raise EvidenceError(where, "not a certificate revocation list that can be read") from error
    unknown = sorted(e.oid.dotted_string for e in extensions if e.critical and e.oid.dotted_string not in _UNDERSTOOD)
    if unknown:
        raise EvidenceError(where, f"critical extension {unknown[0]} is not understood")
    if not der.endswith(b"\0" + crl.signature):
        raise EvidenceError(where, "the signature of the revocation list is not whole bytes")
    try:
        signature_hash = crl.signature_hash_algorithm
    except UnsupportedAlgorithm:
        signature_hash = None
    return CrlFields(crl, signed_list(der, where), signature_hash, number, start, end)
