"""Certificate revocation lists (RFC 5280, section 5), judged at the caller's instant.

The rules have the caller's prefix:

(.1) The list is signed by the key of the CA whose certificates it revokes.
(.2) The list is inside ``thisUpdate`` and ``nextUpdate`` at ``now``, and no older than the caller's limit.
(.3) No certificate under judgement is in the list.

A list proves what its issuer had revoked when it was made. That a newer list exists is not known: the number, which
only grows, is returned for a caller that remembers the highest one it saw (rule T11).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.exceptions import InvalidSignature

from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.crl import parse_crl
from client_sdk.report import Ledger, Phrase
from client_sdk.verify.chain import Verified, VerifiedPaths, verify_signed


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
    paths: VerifiedPaths | None = None,
) -> int:
    """Check a list and that it names none of the certificates; return its number (0 where it has none).

    Raises:
        EvidenceError: it is not a list that can be read.
        VerificationError: with the prefix of the rules.
    """
    serials = tuple([link.serial for link in certificates])
    if paths is None:
        return _verified(der, issuer, serials, rules=rules, now=now, ledger=ledger)
    key = (rules, now, sha256(der).digest(), issuer.fingerprint, serials)
    if (known := paths.recall(key, ledger)) is not None:
        return known.number
    start = len(ledger.rows)
    number = _verified(der, issuer, serials, rules=rules, now=now, ledger=ledger)
    paths.remember(key, Verified(tuple(ledger.rows[start:]), number=number))
    return number


def _verified(
    der: bytes, issuer: CertificateFields, serials: tuple[int, ...], *, rules: CrlRules, now: datetime, ledger: Ledger
) -> int:
    fields = parse_crl(der, f"revocation list of {rules.subject}")
    crl = fields.crl
    try:
        verify_signed(crl, fields.tbs, fields.signature_hash, issuer.public_key)
    except InvalidSignature:
        got = "another key's signature"
    else:
        got = "signed"
    ledger.holds(
        f"{rules.prefix}.1",
        f"the revocation list of {rules.subject} is signed by its issuer",
        expected=issuer.fingerprint,
        got=got,
        condition=got == "signed",
    )
    start, end = fields.start, fields.end
    ledger.holds(
        f"{rules.prefix}.2",
        f"the revocation list of {rules.subject} is in date",
        expected=Phrase(("made at", start, "good until", end, "and at most", rules.max_age, "old")),
        got=now,
        condition=end is not None and start <= now <= end and now - start <= rules.max_age,
    )
    revoked = [serial for serial in serials if crl.get_revoked_certificate_by_serial_number(serial)]
    ledger.equal(f"{rules.prefix}.3", f"no certificate of {rules.subject} is revoked", expected=[], got=revoked)
    return fields.number
