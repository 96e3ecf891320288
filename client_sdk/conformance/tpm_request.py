"""What the stages about TPMs have in common in their requests: keys, certificates, PCR values and quotes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from client_sdk.conformance.request import Request
from client_sdk.encoding import from_hex
from client_sdk.errors import EvidenceError
from client_sdk.fields import integer, items, mapping
from client_sdk.parse.attest import parse_attest, parse_quote_info
from client_sdk.parse.eventlog import DIGEST_SIZES, MAX_PCR, SHA1, SHA256, SHA384, SHA512, SM3
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.parse.public import parse_public
from client_sdk.parse.signature import RSASSA
from client_sdk.report import Ledger
from client_sdk.verify.quote import (
    ANY_KINDS,
    AttestationKey,
    QuotedPcrs,
    QuoteProfile,
    certified_key,
    verify_ak,
    verify_nonce,
    verify_quote,
)

BANKS = {"sha1": SHA1, "sha256": SHA256, "sha384": SHA384, "sha512": SHA512, "sm3_256": SM3}
QUOTE_FIELDS = ("attest", "signature", "sig_format", "pcrs", "pcr_bank")
KEY_FIELDS = ("ak_pub", "ak_pub_pem")
CERTIFICATE_FIELDS = ("ak_cert", "ak_intermediates", "roots", "now")
TPMT_SIGNATURE, RAW_RSASSA = "TPMT_SIGNATURE", "raw-rsassa-sha256"
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """A quote and what it must be."""

    attest: bytes
    signature: bytes
    pcrs: tuple[tuple[int, bytes], ...]
    nonce: bytes
    profile: QuoteProfile

    def verify(self, ak: AttestationKey, ledger: Ledger) -> QuotedPcrs:
        """Verify the quote by a key, and that it answers the nonce."""
        quoted = verify_quote(self.attest, self.signature, self.pcrs, ak=ak, ledger=ledger, profile=self.profile)
        verify_nonce(quoted.attest.extra_data, self.nonce, ledger=ledger)
        return quoted


def bank(request: Request) -> int:
    """Return the algorithm of ``pcr_bank``; SHA-256 where it is missing."""
    name = request.word("pcr_bank", "sha256")
    if name not in BANKS:
        raise EvidenceError("$.pcr_bank", f"not one of {', '.join(BANKS)}")
    return BANKS[name]


def quote(request: Request) -> QuoteRequest:
    """Read a quote. Without ``expected.selection`` the PCRs that were quoted are the expected ones."""
    expected = request.part("expected")
    attest, chosen = request.blob("attest"), bank(request)
    pcrs = pcr_values(request.fields.get("pcrs"), "$.pcrs", chosen)
    if expected.has("selection"):
        selection = pcr_indexes(expected.fields["selection"], "$.expected.selection")
    else:
        selection = _quoted(attest)
    profile = QuoteProfile(bank=chosen, selection=selection, kinds=ANY_KINDS, resettable=True)
    nonce = expected.hexadecimal("nonce_hex")
    return QuoteRequest(attest, _signature(request), tuple(sorted(pcrs.items())), nonce, profile)


def pcr_values(value: Any, where: str, chosen: int) -> dict[int, bytes]:
    """Read PCR values by index, or by bank and index: then the chosen bank's are read."""
    values = mapping(value, where, limit=MAX_PCR + 1)
    name = next(name for name, algorithm in BANKS.items() if algorithm == chosen)
    if values.keys() & BANKS.keys():
        where = f"{where}.{name}"
        values = mapping(values.get(name), where, limit=MAX_PCR + 1)
    indexes = {str(index): index for index in range(MAX_PCR + 1)}
    if unknown := sorted(values.keys() - indexes.keys()):
        raise EvidenceError(where, f"{unknown[0][:16]!r} is not a PCR")
    size = DIGEST_SIZES[chosen]
    return {indexes[key]: from_hex(item, f"{where}.{key}", size=size) for key, item in values.items()}


def pcr_indexes(value: Any, where: str) -> tuple[int, ...]:
    """Read a list of PCR indexes."""
    found = items(value, where, limit=MAX_PCR + 1)
    return tuple(sorted({integer(item, where, high=MAX_PCR) for item in found}))


def _quoted(attest: bytes) -> tuple[int, ...]:
    """Return the PCRs in the signed bytes. What is no quote is the verifier's to name, so anything does for it."""
    parsed = parse_attest(attest)
    if parsed.kind != 0x8018:
        return ()
    return tuple(index for selection in parse_quote_info(parsed.body).selections for index in selection.indexes)


def _signature(request: Request) -> bytes:
    """Return a TPMT_SIGNATURE; raw RSASSA bytes, as some tools write them, get the head that they lack."""
    data, form = request.blob("signature"), request.word("sig_format", TPMT_SIGNATURE)
    if form == RAW_RSASSA:
        if len(data) != 256:
            raise EvidenceError("$.signature", f"{len(data)} bytes are no signature of an RSA-2048 key")
        return struct.pack(">HHH", RSASSA, SHA256, len(data)) + data
    if form != TPMT_SIGNATURE:
        raise EvidenceError("$.sig_format", f"neither {TPMT_SIGNATURE} nor {RAW_RSASSA}")
    return data


def attestation_key(request: Request, ledger: Ledger) -> AttestationKey | None:
    """Return the key in ``ak_pub`` (a TPMT_PUBLIC) or ``ak_pub_pem``; None where there is neither."""
    if request.has("ak_pub") and request.has("ak_pub_pem"):
        raise EvidenceError("$.ak_pub_pem", "the key is given twice")
    if request.has("ak_pub"):
        profile = QuoteProfile(bank=SHA256, selection=(), kinds=ANY_KINDS, resettable=True)
        return verify_ak(parse_public(request.blob("ak_pub")), ledger=ledger, profile=profile)
    if request.has("ak_pub_pem"):
        (der, *more) = parse_pem_or_der(request.blob("ak_pub_pem"), "$.ak_pub_pem", label="PUBLIC KEY")
        if more:
            raise EvidenceError("$.ak_pub_pem", "more than one key")
        return certified_key(_public_key(der), ledger=ledger)
    return None


def certificates(request: Request) -> tuple[bytes, ...]:
    """Return the leaf, as it is or as a TPM's padded image, and the intermediates."""
    leaf = request.blob("ak_cert")
    if not leaf.startswith(b"\x30"):
        (leaf, *_) = parse_pem_or_der(leaf, "$.ak_cert")
    return (leaf, *request.certificates("ak_intermediates"))


def _public_key(der: bytes) -> PublicKey:
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError("$.ak_pub_pem", "not a public key that can be read") from error
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise EvidenceError("$.ak_pub_pem", "neither RSA nor on an elliptic curve")
    return key


def quote_facts(quoted: QuotedPcrs) -> dict[str, Any]:
    """Return what a verified quote says."""
    attest = quoted.attest
    return {
        "pcrs": {str(index): value.hex() for index, value in quoted.pcrs.items()},
        "extra_data": attest.extra_data.hex(),
        "clock": str(attest.clock),
        "reset_count": attest.reset_count,
        "restart_count": attest.restart_count,
        "safe": bool(attest.safe),
        "firmware_version": f"{attest.firmware_version:#018x}",
    }
