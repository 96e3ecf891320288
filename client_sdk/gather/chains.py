"""Who issued which certificate, by key.

It says whom to ask about what, and proves nothing: dates and purposes are not looked at.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature

from client_sdk.parse.certificate import CertificateFields
from client_sdk.verify.chain import verify_issued

MAX_DEPTH = 8
Pair = tuple[CertificateFields, CertificateFields]


def issuer_of(subject: CertificateFields, candidates: tuple[CertificateFields, ...]) -> CertificateFields | None:
    """Return the candidate whose key signed the subject; those whose name says so are tried first."""
    for candidate in sorted(candidates, key=lambda found: found.subject != subject.issuer):
        try:
            verify_issued(subject, candidate.public_key)
        except InvalidSignature:
            continue
        return candidate
    return None


def climb(leaf: CertificateFields, candidates: tuple[CertificateFields, ...]) -> tuple[Pair, ...]:
    """Return certificate and issuer from the leaf upwards, as far as the candidates reach, at most to a root."""
    pairs: list[Pair] = []
    current = leaf
    while len(pairs) < MAX_DEPTH and not is_root(current):
        if (issuer := issuer_of(current, candidates)) is None or issuer.fingerprint == current.fingerprint:
            break
        pairs.append((current, issuer))
        current = issuer
    return tuple(pairs)


def is_root(certificate: CertificateFields) -> bool:
    """Tell whether a certificate names itself as its issuer."""
    return certificate.issuer == certificate.subject
