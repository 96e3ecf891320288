"""Who issued which certificate, by key.

It says whom to ask about what, and proves nothing: dates and purposes are not looked at.
"""

from __future__ import annotations

from client_sdk.parse.certificate import CertificateFields
from client_sdk.verify.chain import issuer_of

MAX_DEPTH = 8
Pair = tuple[CertificateFields, CertificateFields]


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
