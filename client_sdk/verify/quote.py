"""The TPM quote: a signed statement about PCRs, by a key that signs nothing it did not measure itself.

(Q7.1) The AK is a restricted signing key and no decryption key. (Q7.2) It was made in this TPM and cannot leave it.
(Q4.3) It does not sign over SHA-1. (Q7.3) It is of a kind that the profile names, and has no symmetric part. (Q7.4)
Without its public area, by a certificate alone, it is of a kind that the clouds make.
(Q1.1) Magic and (Q1.2) type, read from the signed bytes, are those of a quote.
(Q6.1) Signature and hash algorithm are the AK's, whatever the message says. (Q6.2) The signature is over the received
bytes. Nothing is left over in any structure (the parsers).
(Q4.1) The bank is the profile's, alone, and not SHA-1. (Q5) No PCR above 15, but where the profile says so: then their
values are dropped. (Q2) The selection is exactly the profile's.
(Q3) ``pcrDigest`` is the hash of the claimed values in index order. (Q4.2) Firmware did extend the bank.
(C2.3) Where a plain nonce was asked for, ``extraData`` is that nonce.

The profile says what is expected; nothing in it comes from the message. Our own protocol's is :data:`VITRINE`, the
default. A quote proves PCR values at an unknown time; freshness is rule C2.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256, sha384, sha512
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from client_sdk.errors import EvidenceError
from client_sdk.evidence import PCRS
from client_sdk.parse import public as tpm
from client_sdk.parse.attest import Attest, QuoteInfo, parse_attest, parse_quote_info
from client_sdk.parse.eventlog import DIGEST_SIZES, SHA1, SHA384, SHA512
from client_sdk.parse.public import Public
from client_sdk.parse.signature import ECDSA, RSAPSS, RSASSA, Signature, parse_signature
from client_sdk.report import Ledger
from client_sdk.rules import keeps

MAGIC, TYPE_QUOTE = 0xFF544347, 0x8018
FIRST_RESETTABLE_PCR = 16
_ORIGIN = tpm.FIXED_TPM | tpm.FIXED_PARENT | tpm.SENSITIVE_DATA_ORIGIN
_RESTRICTED_SIGNING = tpm.RESTRICTED | tpm.SIGN
_CURVES: Mapping[int, ec.EllipticCurve] = {
    tpm.NIST_P256: ec.SECP256R1(),
    tpm.NIST_P384: ec.SECP384R1(),
    tpm.NIST_P521: ec.SECP521R1(),
}
_HASHES = {
    tpm.SHA256: (hashes.SHA256(), sha256),
    SHA384: (hashes.SHA384(), sha384),
    SHA512: (hashes.SHA512(), sha512),
}
_ECDSA = {name: ec.ECDSA(used) for name, (used, _) in _HASHES.items()}
_PADDING: Mapping[tuple[int, int], padding.PKCS1v15 | padding.PSS] = {
    (scheme, name): padding.PKCS1v15() if scheme == RSASSA else padding.PSS(padding.MGF1(used), padding.PSS.AUTO)
    for scheme in (RSASSA, RSAPSS)
    for name, (used, _) in _HASHES.items()
}
Kinds = Mapping[tuple[int, int, int, int], str]
OUR_KINDS: Kinds = {
    (tpm.ECC, tpm.NIST_P256, ECDSA, tpm.SHA256): "ECDSA over P-256 with SHA-256",
    (tpm.RSA, 2048, RSASSA, tpm.SHA256): "RSASSA-2048 with SHA-256",
}
ANY_KINDS: Kinds = {
    **{
        (tpm.ECC, curve, ECDSA, name): f"ECDSA over {_CURVES[curve].name} with {used.name}"
        for curve in _CURVES
        for name, (used, _) in _HASHES.items()
    },
    **{
        (tpm.RSA, size, scheme, name): f"{'RSASSA' if scheme == RSASSA else 'RSAPSS'}-{size} with {used.name}"
        for size in (2048, 3072, 4096)
        for scheme in (RSASSA, RSAPSS)
        for name, (used, _) in _HASHES.items()
    },
}


@dataclass(frozen=True, slots=True)
class QuoteProfile:
    """What a quote must be, said by the caller: its bank, its PCRs, and the kinds of keys that may sign it.

    ``resettable`` lets PCRs above 15 be among the quoted ones, as in the clouds' own tools; they are never returned.
    """

    bank: int
    selection: tuple[int, ...]
    kinds: Kinds
    resettable: bool


VITRINE = QuoteProfile(bank=tpm.SHA256, selection=PCRS, kinds=OUR_KINDS, resettable=False)


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """A key, and the one scheme and hash that it signs with: they are its own, never the message's."""

    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    scheme: int
    hash_algorithm: int


@dataclass(frozen=True, slots=True)
class QuotedPcrs:
    """A quote whose signature held, and the values of PCR 0 to 15 that its digest covers."""

    attest: Attest
    pcrs: Mapping[int, bytes]


@keeps("Q4.3", "Q7.1", "Q7.2", "Q7.3")
def verify_ak(public: Public, *, ledger: Ledger, profile: QuoteProfile = VITRINE) -> AttestationKey:
    """Return the AK's key after checking that its public area is that of an attestation key.

    It does not prove that any TPM holds the key: a certificate (K5) or activation (Q8) does.

    Raises:
        EvidenceError: its point is not on the curve, or its modulus is not one.
        VerificationError: Q7, or Q4 for a key that signs over SHA-1.
    """
    attributes = public.attributes
    bits = attributes & (_RESTRICTED_SIGNING | tpm.DECRYPT)
    ledger.holds(
        "Q7.1",
        "the attestation key is a restricted signing key: it signs what the TPM made, and nothing else",
        expected=_hex(_RESTRICTED_SIGNING),
        got=_hex(bits),
        condition=bits == _RESTRICTED_SIGNING,
    )
    ledger.holds(
        "Q7.2",
        "the attestation key was made in the TPM and cannot leave it",
        expected=_hex(_ORIGIN),
        got=_hex(attributes & _ORIGIN),
        condition=attributes & _ORIGIN == _ORIGIN,
    )
    hashed = public.scheme_hash
    what = "the attestation key does not sign over SHA-1"
    ledger.holds("Q4.3", what, expected="another hash", got=_hex(hashed), condition=hashed != SHA1)
    kind = (public.kind, public.size, public.scheme, hashed)
    ledger.holds(
        "Q7.3",
        "the attestation key is of a known kind",
        expected=tuple(profile.kinds.values()),
        got=profile.kinds.get(kind) or ("type, size, scheme, hash", *kind, "symmetric", public.symmetric),
        condition=kind in profile.kinds and public.symmetric == tpm.NULL,
    )
    return AttestationKey(_key(public), public.scheme, hashed)


@keeps("Q7.4")
def certified_key(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, *, ledger: Ledger) -> AttestationKey:
    """Return a key that comes without its public area, with the scheme that both clouds' templates give such a key.

    What the TPM would tell about it (Q7.1, Q7.2) is then left to whoever certified it.

    Raises:
        VerificationError: Q7.4.
    """
    is_rsa = isinstance(key, rsa.RSAPublicKey)
    size = key.key_size if isinstance(key, rsa.RSAPublicKey) else key.curve.name
    ledger.holds(
        "Q7.4",
        "the attestation key is of a kind that the clouds' templates make",
        expected="RSA-2048 with RSASSA or P-256 with ECDSA, over SHA-256",
        got=("RSA" if is_rsa else "ECC", size),
        condition=size in (2048, "secp256r1"),
    )
    return AttestationKey(key, RSASSA if is_rsa else ECDSA, tpm.SHA256)


@keeps("Q1.1", "Q1.2", "Q3", "Q4.2")
def verify_quote(
    attest_bytes: bytes,
    signature_bytes: bytes,
    pcrs: tuple[tuple[int, bytes], ...],
    *,
    ak: AttestationKey,
    ledger: Ledger,
    profile: QuoteProfile = VITRINE,
) -> QuotedPcrs:
    """Check a quote by an AK that :func:`verify_ak` returned; the values are then as true as the AK is.

    Raises:
        EvidenceError: malformed structures.
        VerificationError: Q1 to Q6.
    """
    attest = parse_attest(attest_bytes)
    magic, kind = attest.magic, attest.kind
    what = "the signed bytes were made by a TPM (magic is TPM_GENERATED_VALUE)"
    ledger.holds("Q1.1", what, expected=_hex(MAGIC), got=_hex(magic), condition=magic == MAGIC)
    what = "the signed bytes are a quote (type is TPM_ST_ATTEST_QUOTE)"
    ledger.holds("Q1.2", what, expected=_hex(TYPE_QUOTE), got=_hex(kind), condition=kind == TYPE_QUOTE)
    _signature(attest_bytes, parse_signature(signature_bytes), ak, ledger)
    info = parse_quote_info(attest.body)
    _selection(info, profile, ledger)
    claimed, size = dict(pcrs), DIGEST_SIZES[profile.bank]
    values = [claimed.get(index, b"") for index in profile.selection]
    what, short = "each quoted PCR has a value of its bank's size", [len(v) for v in values if len(v) != size]
    ledger.equal("Q3", what, expected=[], got=short)
    digest = _HASHES[ak.hash_algorithm][1](b"".join(values)).digest()
    ledger.equal("Q3", "the PCR values are the quoted ones", expected=info.pcr_digest, got=digest)
    firmware = [value for index, value in zip(profile.selection, values, strict=True) if index < 8]
    ledger.holds(
        "Q4.2",
        "firmware extended the bank",
        expected="PCR 0 to 7 not all zero",
        got=firmware[:1],
        condition=b"".join(firmware).strip(b"\0"),
    )
    return QuotedPcrs(attest, MappingProxyType({i: claimed[i] for i in profile.selection if i < FIRST_RESETTABLE_PCR}))


@keeps("C2.3")
def verify_nonce(signed: bytes, nonce: bytes, *, ledger: Ledger) -> None:
    """Check a quote that was made over a plain nonce, as the clouds' own tools do: exactly these bytes.

    Our own protocol binds more than a nonce: ``verify_binding``.

    Raises:
        VerificationError: C2.3.
    """
    same = hmac.compare_digest(signed, nonce)
    ledger.holds("C2.3", "the quote answers this caller's nonce", expected=nonce, got=signed, condition=same)


@keeps("Q6.1", "Q6.2")
def _signature(message: bytes, signature: Signature, ak: AttestationKey, ledger: Ledger) -> None:
    ledger.equal(
        "Q6.1",
        "signature and hash algorithm are the attestation key's",
        expected=(ak.scheme, ak.hash_algorithm),
        got=(signature.algorithm, signature.hash_algorithm),
    )
    key = ak.key
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(encode_dss_signature(signature.r, signature.s), message, _ECDSA[ak.hash_algorithm])
        else:
            scheme = _PADDING[ak.scheme, ak.hash_algorithm]
            key.verify(signature.rsa, message, scheme, _HASHES[ak.hash_algorithm][0])
    except InvalidSignature:
        verdict = "another key's, or over other bytes"
    else:
        verdict = "valid"
    ledger.equal("Q6.2", "the attestation key signed the quote", expected="valid", got=verdict)


@keeps("Q2", "Q4.1", "Q5")
def _selection(info: QuoteInfo, profile: QuoteProfile, ledger: Ledger) -> None:
    banks, bank = tuple([selection.bank for selection in info.selections]), profile.bank
    ledger.holds(
        "Q4.1",
        "one bank is quoted, the expected one, and it is not SHA-1",
        expected=(bank,),
        got=banks,
        condition=banks == (bank,) and bank != SHA1,
    )
    indexes = info.selections[0].indexes
    ledger.holds(
        "Q5",
        "no resettable PCR is quoted, or none is used",
        expected=f"indexes below {FIRST_RESETTABLE_PCR}",
        got=indexes,
        condition=profile.resettable or not indexes or indexes[-1] < FIRST_RESETTABLE_PCR,
    )
    ledger.equal("Q2", "exactly the required PCRs are quoted", expected=profile.selection, got=indexes)


def _hex(value: int) -> partial[str]:
    return partial("{:#010x}".format, value)


def _key(public: Public) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    numbers = [int.from_bytes(part, "big") for part in public.unique]
    try:
        if public.kind == tpm.ECC:
            return ec.EllipticCurvePublicNumbers(numbers[0], numbers[1], _CURVES[public.size]).public_key()
        if numbers[0].bit_length() != public.size:
            raise EvidenceError("$.ak_public", f"a modulus of {numbers[0].bit_length()} bits, not {public.size}")
        return rsa.RSAPublicNumbers(public.exponent or 65537, numbers[0]).public_key()
    except ValueError as error:
        raise EvidenceError("$.ak_public", "the key is not a point on its curve, or not a modulus") from error
