"""A certificate chain, up to a certificate that the caller pinned (RFC 5280, section 6, without names).

The rules have the caller's prefix, for example K1 for a TPM's certificate:

(.1) Each certificate is signed by the next one's *key*, and the last by a pinned one's. Names are no condition: several
CAs share one, and a name proves nothing. They only say which key to try first.
(.2) Each certificate, the pinned one included, is inside its dates at ``now``.
(.3) Each issuer is a CA by basicConstraints, with room in its pathlen.
(.4) Each issuer's keyUsage has keyCertSign. An issuer without that extension fails, unless the caller's rules take it.
(.5) Each critical extension is one that is understood.
(.6) Signatures are over SHA-256 or stronger.

A chain proves who vouches for the leaf's key. What the leaf may be used for, and whether it was revoked, is not said.

A caller who judges several peers, or one again, at one instant may pass :class:`VerifiedPaths`: what was verified
before is then recorded again without being computed again. Without it everything is verified each time.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.report import Ledger, Phrase, Row

MAX_DEPTH = 4
# basicConstraints, keyUsage and extKeyUsage are checked here or by the caller.
UNDERSTOOD = frozenset({"2.5.29.19", "2.5.29.15", "2.5.29.37"})
_ECDSA = {used.name: ec.ECDSA(used) for used in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())}
_HASHES = tuple(_ECDSA)
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Signed = x509.Certificate | x509.CertificateRevocationList
MAX_KEPT = 16 * 1024
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class ChainRules:
    """How a chain's checks are named: ``prefix`` of their ids, whose certificate it is, and what else is understood.

    ``understood`` are further critical extensions, by OID, which the caller looks at or which say nothing of weight.
    ``usage_may_be_absent`` takes an issuer that has no keyUsage at all, as RFC 5280, section 6.1.4 (n), does.
    """

    prefix: str
    subject: str
    understood: frozenset[str] = frozenset()
    usage_may_be_absent: bool = False
    ids: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(f"{self.prefix}.{number}" for number in range(1, 7)))


Key = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """A path, or the number of a revocation list, and the checks that held."""

    rows: tuple[Row, ...]
    path: tuple[CertificateFields, ...] = ()
    number: int = 0


class VerifiedPaths:
    """Certificates that were read, paths and lists that were verified before: the caller's, ``limit`` at most of each.

    A path is found again for the same bytes (by SHA-256) of leaf, helpers and pinned certificates, under the same rules
    and at the same instant, and for nothing else; a revocation list for the same bytes, issuer and serial numbers under
    the same rules and at the same instant. What was refused is never kept. It says nothing about signatures by the
    leaf's key. It has no lock: one for each thread.
    """

    __slots__ = ("_limit", "_read", "_verified")

    def __init__(self, limit: int = 64) -> None:
        self._limit = max(1, limit)
        self._read: dict[bytes, CertificateFields] = {}
        self._verified: dict[Key, Verified] = {}

    def read(self, der: bytes, where: str) -> CertificateFields:
        """Read a certificate as :func:`parse_certificate` does, once."""
        found = self._read.get(der)
        if found is None:
            found = parse_certificate(der, where)
            if len(der) <= MAX_KEPT:
                _keep(self._read, der, found, self._limit)
        return found

    def recall(self, key: Key, ledger: Ledger) -> Verified | None:
        """Record the checks of what was verified before and return it, or return None."""
        if (found := self._verified.get(key)) is not None:
            ledger.rows += found.rows
        return found

    def remember(self, key: Key, found: Verified) -> None:
        """Keep something whose checks all held."""
        _keep(self._verified, key, found, self._limit)


def _keep(kept: dict[_K, _V], key: _K, value: _V, limit: int) -> None:
    while len(kept) >= limit:
        del kept[next(iter(kept))]
    kept[key] = value


def read_certificate(der: bytes, where: str, paths: VerifiedPaths | None) -> CertificateFields:
    """Read a certificate, or take it from those that were read before.

    Raises:
        EvidenceError: as :func:`parse_certificate`.
    """
    return parse_certificate(der, where) if paths is None else paths.read(der, where)


def verify_chain(
    leaf: CertificateFields,
    others: tuple[CertificateFields, ...],
    anchors: tuple[CertificateFields, ...],
    *,
    rules: ChainRules,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> tuple[CertificateFields, ...]:
    """Return the path from the leaf to the pinned certificate, both included; ``others`` may help, in any order.

    Raises:
        VerificationError: with the prefix of the rules.
    """
    if paths is None:
        return _verified(leaf, others, anchors, rules=rules, now=now, ledger=ledger)
    key = (rules, now, leaf.fingerprint, _fingerprints(others), _fingerprints(anchors))
    if (known := paths.recall(key, ledger)) is not None:
        return known.path
    start = len(ledger.rows)
    path = _verified(leaf, others, anchors, rules=rules, now=now, ledger=ledger)
    paths.remember(key, Verified(tuple(ledger.rows[start:]), path))
    return path


def verify_self_signed(root: CertificateFields, *, now: datetime, paths: VerifiedPaths | None = None) -> None:
    """Check that a certificate is signed by its own key.

    Raises:
        InvalidSignature: it is not.
    """
    key, unheard = ("self-signed", now, root.fingerprint), Ledger()
    if paths is not None and paths.recall(key, unheard) is not None:
        return
    verify_issued(root, root.public_key)
    if paths is not None:
        paths.remember(key, Verified(()))


def _fingerprints(group: tuple[CertificateFields, ...]) -> tuple[bytes, ...]:
    return tuple([one.fingerprint for one in group])


def _verified(
    leaf: CertificateFields,
    others: tuple[CertificateFields, ...],
    anchors: tuple[CertificateFields, ...],
    *,
    rules: ChainRules,
    now: datetime,
    ledger: Ledger,
) -> tuple[CertificateFields, ...]:
    path = _path_to_root(leaf, others, anchors, rules, ledger)
    _dates(path, now, rules, ledger)
    _issuers(path, rules, ledger)
    _extensions(path, rules, ledger)
    return path


def _path_to_root(
    leaf: CertificateFields,
    others: tuple[CertificateFields, ...],
    anchors: tuple[CertificateFields, ...],
    rules: ChainRules,
    ledger: Ledger,
) -> tuple[CertificateFields, ...]:
    path, left = [leaf], list(others)
    while len(path) <= MAX_DEPTH:
        if (link := issuer_of(path[-1], (*anchors, *left))) is None:
            break
        if anchor := next((anchor for anchor in anchors if anchor.public_key == link.public_key), None):
            path.append(anchor)
            break
        left.remove(link)
        path.append(link)
    pinned = tuple([anchor.fingerprint for anchor in anchors])
    ledger.holds(
        rules.ids[0],
        f"{rules.subject} chains to a pinned root",
        expected=pinned,
        got=tuple([link.fingerprint for link in path[1:]]) or "signed by none of them",
        condition=len(path) > 1 and path[-1].fingerprint in pinned,
    )
    return tuple(path)


def issuer_of(subject: CertificateFields, candidates: tuple[CertificateFields, ...]) -> CertificateFields | None:
    """Return the candidate whose key signed the subject; this says nothing of dates, purposes or trust."""
    for candidate in _likely_first(subject, candidates):
        try:
            verify_issued(subject, candidate.public_key)
        except InvalidSignature:
            continue
        return candidate
    return None


def _likely_first(subject: CertificateFields, candidates: tuple[CertificateFields, ...]) -> list[CertificateFields]:
    """Put first what key identifier and name hint at: a wrong key costs a whole signature check."""
    key_id, name = subject.issuer_key_id, subject.issuer
    return sorted(candidates, key=lambda found: (bool(key_id) and found.key_id != key_id, found.subject != name))


def verify_issued(subject: CertificateFields, key: PublicKey) -> None:
    """Check a certificate's signature by a key, with the hash and padding that the certificate names.

    Raises:
        InvalidSignature: the key did not sign it, or it names no hash or padding, or one that is not known.
    """
    verify_signed(subject.certificate, subject.tbs, subject.signature_hash, key)


def verify_signed(signed: Signed, tbs: bytes, used: hashes.HashAlgorithm | None, key: PublicKey) -> None:
    """Check the signature of a certificate or a revocation list over the bytes as they came.

    Raises:
        InvalidSignature: as for :func:`verify_issued`.
    """
    if used is None:
        raise InvalidSignature
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signed.signature, tbs, _ECDSA.get(used.name) or ec.ECDSA(used))
            return
        scheme = signed.signature_algorithm_parameters
        if not isinstance(scheme, (padding.PKCS1v15, padding.PSS)):
            raise InvalidSignature
        key.verify(signed.signature, tbs, scheme, used)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # parameters that make no sense
        raise InvalidSignature from error


def _dates(path: tuple[CertificateFields, ...], now: datetime, rules: ChainRules, ledger: Ledger) -> None:
    for link in path:
        start, end = link.not_before, link.not_after
        ledger.holds(
            rules.ids[1],
            "the certificate is inside its dates",
            expected=(start, end),
            got=now,
            condition=start <= now <= end,
        )


def _issuers(path: tuple[CertificateFields, ...], rules: ChainRules, ledger: Ledger) -> None:
    for below, issuer in enumerate(path[1:]):
        room = issuer.path_length is None or issuer.path_length >= below
        ledger.holds(
            rules.ids[2],
            "the issuer is a CA with room for this path",
            expected=Phrase(("a CA, pathlen at least", below)),
            got=Phrase(("a CA," if issuer.is_ca else "not a CA,", "pathlen", issuer.path_length)),
            condition=issuer.is_ca and room,
        )
        usage = issuer.key_usage
        allowed = usage.key_cert_sign if usage else rules.usage_may_be_absent
        ledger.holds(
            rules.ids[3],
            "the issuer's key may sign certificates",
            expected="keyCertSign",
            got=("keyCertSign" if allowed else "no keyCertSign") if usage else "no keyUsage",
            condition=allowed,
        )


def _extensions(path: tuple[CertificateFields, ...], rules: ChainRules, ledger: Ledger) -> None:
    understood = UNDERSTOOD | rules.understood
    for link in path:
        ledger.equal(
            rules.ids[4],
            "critical extensions are understood",
            expected=(),
            got=tuple(sorted(link.critical - understood)),
        )
        name = link.signature_hash.name if link.signature_hash else "none"
        ledger.holds(
            rules.ids[5], "the signature's hash is strong", expected=_HASHES, got=name, condition=name in _HASHES
        )
