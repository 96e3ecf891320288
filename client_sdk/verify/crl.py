"""Certificate revocation lists (RFC 5280, section 5), judged at the caller's instant.

The rules have the caller's prefix:

(.1) The list is signed by the key of the CA whose certificates it revokes.
(.2) It is inside ``thisUpdate`` and ``nextUpdate`` at ``now``, and no older than the caller's limit.
(.3) No certificate under judgement is in it.

A list proves what its issuer had revoked when it was made. That a newer list exists is not known: the number, which
only grows, is returned for a caller that remembers the highest one it saw (rule T11).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields
from client_sdk.report import Ledger

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
class CrlRules:
    """How a list's checks are named, and how old it may be besides its own dates."""

    prefix: str
    subject: str
    max_age: timedelta


def verify_crl(
    der: bytes,
    issuer: CertificateFields,
    certificates: Iterable[CertificateFields],
    *,
    rules: CrlRules,
    now: datetime,
    ledger: Ledger,
) -> int:
    """Check a list and that it names none of the certificates; return its number (0 where it has none).

    Raises:
        EvidenceError: it is not a list that can be read.
        VerificationError: with the prefix of the rules.
    """
    crl, number = _read(der, rules.subject)
    signed = crl.is_signature_valid(issuer.public_key)
    ledger.holds(
        f"{rules.prefix}.1",
        f"the revocation list of {rules.subject} is signed by its issuer",
        expected=issuer.fingerprint,
        got="signed" if signed else "another key's signature",
        condition=signed,
    )
    start, end = crl.last_update_utc, crl.next_update_utc
    ledger.holds(
        f"{rules.prefix}.2",
        f"the revocation list of {rules.subject} is in date",
        expected=("made at", start, "good until", end, "and at most", rules.max_age, "old"),
        got=now,
        condition=end is not None and start <= now <= end and now - start <= rules.max_age,
    )
    serials = [link.serial for link in certificates]
    revoked = [serial for serial in serials if crl.get_revoked_certificate_by_serial_number(serial)]
    ledger.equal(f"{rules.prefix}.3", f"no certificate of {rules.subject} is revoked", expected=[], got=revoked)
    return number


def _read(der: bytes, subject: str) -> tuple[x509.CertificateRevocationList, int]:
    where = f"revocation list of {subject}"
    if len(der) > MAX_SIZE:
        raise EvidenceError(where, f"over the limit of {MAX_SIZE} bytes")
    try:
        crl = x509.load_der_x509_crl(der)
        extensions = crl.extensions
        number = next((e.value.crl_number for e in extensions if isinstance(e.value, x509.CRLNumber)), 0)
    except _UNREADABLE as error:
        raise EvidenceError(where, "not a certificate revocation list that can be read") from error
    unknown = sorted(e.oid.dotted_string for e in extensions if e.critical and e.oid.dotted_string not in _UNDERSTOOD)
    if unknown:
        raise EvidenceError(where, f"critical extension {unknown[0]} is not understood")
    return crl, number
