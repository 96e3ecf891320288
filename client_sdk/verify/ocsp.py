"""OCSP responses (RFC 6960), judged at the caller's instant, for a path that ``chain.py`` verified.

The rules have the caller's prefix:

(.1) The response is signed by the key of the CA that issued the certificate, or by a responder whom that very CA
certified for it. One that is not successful is no response. (.2) The responder's certificate has the purpose
OCSPSigning. The rules of ``chain.py`` judge it as ``.responder`` (section 4.2.2.2).
(.3) The certificate's status is *good*.
(.4) The answer is inside ``thisUpdate`` and ``nextUpdate`` at ``now``, and no older than the caller's limit.

A response is about a certificate when issuer name, issuer key and serial number say so; the hash that names them may
be SHA-1, because it is an index and the answer is signed. No nonce is asked for: stapled answers have none, their age
is bounded instead. A response proves what the CA had revoked when it was made, and that a certificate *without* one is
not revoked, not at all: those are returned, for the policy to judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import new

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.report import Ledger, Phrase
from client_sdk.verify.chain import ChainRules, verify_chain

MAX_SIZE = 64 * 1024
MAX_RESPONSES = 64
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
_HASHES = ("sha1", "sha256", "sha384", "sha512")
_STRONG = _HASHES[1:]
_SUCCESSFUL, _GOOD = ocsp.OCSPResponseStatus.SUCCESSFUL, ocsp.OCSPCertStatus.GOOD


@dataclass(frozen=True, slots=True)
class OcspRules:
    """How the checks are named, whose certificates it is about, and how old an answer may be besides its own dates."""

    prefix: str
    subject: str
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class _Answer:
    """One response, read: what it says about which certificates, and who signed it."""

    response: ocsp.OCSPResponse
    singles: tuple[ocsp.OCSPSingleResponse, ...]
    responders: tuple[CertificateFields, ...]


def ocsp_ids(prefix: str) -> tuple[str, ...]:
    """Return the ids of every check of :func:`verify_ocsp` under a prefix, for the registry of rules."""
    return tuple(f"{prefix}.{part}" for part in (*"1234", *(f"responder.{number}" for number in "123456")))


def verify_ocsp(
    responses: tuple[bytes, ...],
    path: tuple[CertificateFields, ...],
    *,
    first: int,
    rules: OcspRules,
    now: datetime,
    ledger: Ledger,
) -> tuple[bytes, ...]:
    """Check what the responses say about ``path[first]`` and on; return the fingerprints of those without one.

    The pinned certificate, last in the path, answers for itself.

    Raises:
        EvidenceError: a response cannot be read, or is about none of them.
        VerificationError: with the prefix of the rules.
    """
    where = f"OCSP response for {rules.subject}"
    if len(responses) > MAX_RESPONSES:
        raise EvidenceError(where, f"over the limit of {MAX_RESPONSES}")
    answers = [_read(der, f"{where} [{i}]") for i, der in enumerate(responses)]
    used: set[int] = set()
    without: list[bytes] = []
    for certificate, issuer in zip(path[first:-1], path[first + 1 :], strict=True):
        found = [(i, one) for i, answer in enumerate(answers) for one in _about(answer, certificate, issuer)]
        used |= {i for i, _ in found}
        for i, single in found:
            _signed(answers[i], issuer, rules, now, ledger)
            _status(single, rules, now, ledger)
        if not found:
            without.append(certificate.fingerprint)
    if unused := sorted(set(range(len(answers))) - used):
        raise EvidenceError(f"{where} [{unused[0]}]", "it is about no certificate of the path")
    return tuple(without)


def _read(der: bytes, where: str) -> _Answer:
    if len(der) > MAX_SIZE:
        raise EvidenceError(where, f"over the limit of {MAX_SIZE} bytes")
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status != _SUCCESSFUL:
            raise EvidenceError(where, f"the responder refused to answer ({response.response_status.name})")
        singles = tuple(response.responses)
        critical = [extension.oid.dotted_string for extension in response.extensions if extension.critical]
        ders = [certificate.public_bytes(Encoding.DER) for certificate in response.certificates]
        _ = [(one.hash_algorithm, one.this_update_utc, one.next_update_utc) for one in singles]
        _ = response.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise EvidenceError(where, "not an OCSP response that can be read") from error
    if critical:
        raise EvidenceError(where, f"critical extension {critical[0]} is not understood")
    if b"\0" + response.signature not in der:  # nothing signs the count of unused bits before it
        raise EvidenceError(where, "the signature of the response is not whole bytes")
    return _Answer(response, singles, tuple([parse_certificate(one, where) for one in ders]))


def _about(
    answer: _Answer, certificate: CertificateFields, issuer: CertificateFields
) -> Iterable[ocsp.OCSPSingleResponse]:
    serial = certificate.certificate.serial_number
    for single in answer.singles:
        named = (single.serial_number, single.issuer_name_hash, single.issuer_key_hash)
        if single.serial_number == serial and named == (
            serial,
            *_names(issuer.certificate, single.hash_algorithm.name),
        ):
            yield single


def _names(issuer: x509.Certificate, algorithm: str) -> tuple[bytes, bytes]:
    """Return the hashes that name an issuer: of its subject and of its key's bits (RFC 6960, section 4.1.1)."""
    if algorithm not in _HASHES:
        return b"", b""
    try:
        name, key = issuer.subject.public_bytes(), issuer.public_key()
    except ValueError as error:
        raise EvidenceError("certificate", "an issuer's name cannot be read") from error
    form = PublicFormat.UncompressedPoint if isinstance(key, ec.EllipticCurvePublicKey) else PublicFormat.PKCS1
    encoding = Encoding.X962 if isinstance(key, ec.EllipticCurvePublicKey) else Encoding.DER
    return new(algorithm, name).digest(), new(algorithm, key.public_bytes(encoding, form)).digest()


def _signed(answer: _Answer, issuer: CertificateFields, rules: OcspRules, now: datetime, ledger: Ledger) -> None:
    signer = _signer(answer.response, (issuer, *answer.responders))
    ledger.holds(
        f"{rules.prefix}.1",
        f"the OCSP response for {rules.subject} is signed by the issuer, or by its responder",
        expected=issuer.fingerprint,
        got=signer.fingerprint if signer else "signed by neither",
        condition=signer,
    )
    if signer is None or signer is issuer:
        return
    chain = ChainRules(f"{rules.prefix}.responder", f"the OCSP responder for {rules.subject}")
    verify_chain(signer, (), (issuer,), rules=chain, now=now, ledger=ledger)
    ledger.holds(
        f"{rules.prefix}.2",
        "the responder's certificate is for OCSP",
        expected=OCSP_SIGNING,
        got=tuple(sorted(signer.extended_key_usage)),
        condition=OCSP_SIGNING in signer.extended_key_usage,
    )


def _signer(response: ocsp.OCSPResponse, candidates: tuple[CertificateFields, ...]) -> CertificateFields | None:
    """Return the candidate whose key signed the response, over a strong hash."""
    used = response.signature_hash_algorithm
    if used is None or used.name not in _STRONG:
        return None
    for candidate in candidates:
        key, signature, signed = candidate.public_key, response.signature, response.tbs_response_bytes
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, signed, ec.ECDSA(used))
            else:
                key.verify(signature, signed, padding.PKCS1v15(), used)
        except InvalidSignature:
            continue
        return candidate
    return None


def _status(single: ocsp.OCSPSingleResponse, rules: OcspRules, now: datetime, ledger: Ledger) -> None:
    status, start, end = single.certificate_status, single.this_update_utc, single.next_update_utc
    ledger.equal(f"{rules.prefix}.3", f"{rules.subject} is not revoked", expected=_GOOD.name, got=status.name)
    ledger.holds(
        f"{rules.prefix}.4",
        f"the OCSP response for {rules.subject} is in date",
        expected=Phrase(("made at", start, "good until", end, "and at most", rules.max_age, "old")),
        got=now,
        condition=end is not None and start <= now <= end and now - start <= rules.max_age,
    )
