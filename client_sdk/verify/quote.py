"""The TPM quote: a signed statement about PCRs, by a key that signs nothing it did not measure itself.

(Q7.1) The AK is a restricted signing key and no decryption key. (Q7.2) It was made in this TPM and cannot leave it.
(Q7.3) It is ECC P-256 with ECDSA or RSA-2048 with RSASSA, over SHA-256, and has no symmetric part.
(Q1.1) Magic and (Q1.2) type, read from the signed bytes, are those of a quote.
(Q6.1) Signature and hash algorithm are the AK's, whatever the message says. (Q6.2) The signature is over the received
bytes. Nothing is left over in any structure (the parsers).
(Q4.1) The bank is SHA-256, alone. (Q5) No PCR above 15. (Q2) The selection is exactly the required one.
(Q3) ``pcrDigest`` is the hash of the claimed values in index order. (Q4.2) Firmware did extend the bank.

A quote proves PCR values at an unknown time; freshness is rule C2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from client_sdk.errors import EvidenceError
from client_sdk.evidence import PCRS
from client_sdk.parse import public as tpm
from client_sdk.parse.attest import Attest, QuoteInfo, parse_attest, parse_quote_info
from client_sdk.parse.public import Public
from client_sdk.parse.signature import ECDSA, RSASSA, Signature, parse_signature
from client_sdk.report import Ledger

MAGIC, TYPE_QUOTE = 0xFF544347, 0x8018
FIRST_RESETTABLE_PCR = 16
_ORIGIN = tpm.FIXED_TPM | tpm.FIXED_PARENT | tpm.SENSITIVE_DATA_ORIGIN
_ECDSA = ec.ECDSA(SHA256())
_RESTRICTED_SIGNING = tpm.RESTRICTED | tpm.SIGN
_KINDS = {
    (tpm.ECC, tpm.NIST_P256, ECDSA, tpm.SHA256): "ECDSA over P-256 with SHA-256",
    (tpm.RSA, 2048, RSASSA, tpm.SHA256): "RSASSA-2048 with SHA-256",
}
_ANY_KIND = tuple(_KINDS.values())


@dataclass(frozen=True, slots=True)
class QuotedPcrs:
    """A quote whose signature held, and the values that its digest covers."""

    attest: Attest
    pcrs: dict[int, bytes]


def verify_ak(public: Public, *, ledger: Ledger) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """Return the AK's key after checking that its public area is that of an attestation key.

    Raises:
        EvidenceError: its point is not on the curve, or its modulus is not one.
        VerificationError: Q7.
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
    kind = (public.kind, public.size, public.scheme, public.scheme_hash)
    ledger.holds(
        "Q7.3",
        "the attestation key is of a known kind",
        expected=_ANY_KIND,
        got=_KINDS.get(kind) or ("type, size, scheme, hash", *kind, "symmetric", public.symmetric),
        condition=kind in _KINDS and public.symmetric == tpm.NULL,
    )
    return _key(public)


def verify_quote(
    attest_bytes: bytes,
    signature_bytes: bytes,
    pcrs: tuple[tuple[int, bytes], ...],
    *,
    ak: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    ledger: Ledger,
) -> QuotedPcrs:
    """Check a quote by an AK that :func:`verify_ak` returned; the values are then as true as the AK is.

    Raises:
        EvidenceError: malformed structures.
        VerificationError: Q1 to Q6.
    """
    attest = parse_attest(attest_bytes)
    magic, kind = attest.magic, attest.kind
    what = "the signed bytes come from a TPM"
    ledger.holds("Q1.1", what, expected=_hex(MAGIC), got=_hex(magic), condition=magic == MAGIC)
    what = "the signed bytes are a quote"
    ledger.holds("Q1.2", what, expected=_hex(TYPE_QUOTE), got=_hex(kind), condition=kind == TYPE_QUOTE)
    _signature(attest_bytes, parse_signature(signature_bytes), ak, ledger)
    info = parse_quote_info(attest.body)
    _selection(info, ledger)
    values = dict(pcrs)
    joined = b"".join([values[index] for index in PCRS])
    ledger.equal("Q3", "the PCR values are the quoted ones", expected=info.pcr_digest, got=sha256(joined).digest())
    ledger.holds(
        "Q4.2",
        "firmware extended the SHA-256 bank",
        expected="PCR 0 to 7 not all zero",
        got=values[0],
        condition=joined[: 8 * 32].strip(b"\0"),
    )
    return QuotedPcrs(attest, values)


def _signature(
    message: bytes, signature: Signature, ak: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, ledger: Ledger
) -> None:
    algorithm = ECDSA if isinstance(ak, ec.EllipticCurvePublicKey) else RSASSA
    ledger.equal(
        "Q6.1",
        "signature and hash algorithm are the attestation key's",
        expected=(algorithm, tpm.SHA256),
        got=(signature.algorithm, signature.hash_algorithm),
    )
    try:
        if isinstance(ak, ec.EllipticCurvePublicKey):
            ak.verify(encode_dss_signature(signature.r, signature.s), message, _ECDSA)
        else:
            ak.verify(signature.rsa, message, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        verdict = "another key's, or over other bytes"
    else:
        verdict = "valid"
    ledger.equal("Q6.2", "the attestation key signed the quote", expected="valid", got=verdict)


def _selection(info: QuoteInfo, ledger: Ledger) -> None:
    banks = tuple([selection.bank for selection in info.selections])
    ledger.equal("Q4.1", "the quoted bank is SHA-256, alone", expected=(tpm.SHA256,), got=banks)
    indexes = info.selections[0].indexes
    ledger.holds(
        "Q5",
        "no resettable PCR is quoted",
        expected=f"indexes below {FIRST_RESETTABLE_PCR}",
        got=indexes,
        condition=not indexes or indexes[-1] < FIRST_RESETTABLE_PCR,
    )
    ledger.equal("Q2", "exactly the required PCRs are quoted", expected=PCRS, got=indexes)


def _hex(value: int) -> partial[str]:
    return partial("{:#010x}".format, value)


def _key(public: Public) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    numbers = [int.from_bytes(part, "big") for part in public.unique]
    try:
        if public.kind == tpm.ECC:
            return ec.EllipticCurvePublicNumbers(numbers[0], numbers[1], ec.SECP256R1()).public_key()
        return rsa.RSAPublicNumbers(public.exponent or 65537, numbers[0]).public_key()
    except ValueError as error:
        raise EvidenceError("$.ak_public", "the key is not a point on its curve, or not a modulus") from error
