"""The attester's protocol: one JSON object a line, one answer a line, in order.

``{"op":"evidence"}`` → ``{"evidence":{…}}``: what every answer of this boot shares, with an empty quote in it;
``{"op":"quote","nonces":<base64>}``, of 1 to 4096 nonces behind each other → ``{"attest":<base64>,"signature":…}``;
``{"op":"activate","credential_blob":<base64>,"encrypted_secret":<base64>}`` → ``{"secret":<base64>}``;
anything that fails → ``{"error":{"code":…,"message":…}}``.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.binding import MAX_TREE, NONCE_SIZE
from client_sdk.encoding import canonical_json, from_base64, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys
from serving.attest.tpm import MAX_CREDENTIAL, MAX_SECRET
from serving.errors import RequestError

MAX_LINE = 4 * MAX_TREE * NONCE_SIZE // 3 + 1024
_KEYS = {
    "evidence": frozenset({"op"}),
    "quote": frozenset({"op", "nonces"}),
    "activate": frozenset({"op", "credential_blob", "encrypted_secret"}),
}


@dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """Somebody wants what all evidence of this boot shares."""


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """Somebody wants one quote over these nonces."""

    nonces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ActivateRequest:
    """Somebody wants a secret back that only this machine can decrypt."""

    credential_blob: bytes
    encrypted_secret: bytes


def parse_request(line: bytes) -> EvidenceRequest | QuoteRequest | ActivateRequest:
    """Decode one line.

    Raises:
        RequestError: on anything else than the three requests; the message never repeats the input.
    """
    try:
        value = strict_json(line, limit=MAX_LINE)
        kind = value.get("op") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in _KEYS:
            raise RequestError("bad_request", f"$.op: {', '.join(_KEYS)}")
        fields = exact_keys(value, _KEYS[kind], "$")
        if kind == "evidence":
            return EvidenceRequest()
        if kind == "quote":
            return QuoteRequest(_nonces(fields["nonces"]))
        return ActivateRequest(
            from_base64(fields["credential_blob"], "$.credential_blob", limit=MAX_CREDENTIAL),
            from_base64(fields["encrypted_secret"], "$.encrypted_secret", limit=MAX_SECRET),
        )
    except EvidenceError as error:
        raise RequestError("bad_request", f"{error.where[:16]}: not a request of this protocol") from error


def _nonces(value: object) -> tuple[bytes, ...]:
    data = from_base64(value, "$.nonces", limit=MAX_TREE * NONCE_SIZE)
    if not data or len(data) % NONCE_SIZE:
        raise EvidenceError("$.nonces", "no whole nonces")
    return tuple(data[start : start + NONCE_SIZE] for start in range(0, len(data), NONCE_SIZE))


def evidence_line(evidence: bytes) -> bytes:
    """Encode evidence that is JSON already."""
    return b'{"evidence":' + evidence + b"}\n"


def quote_line(attest: bytes, signature: bytes) -> bytes:
    """Encode a quote."""
    return canonical_json({"attest": to_base64(attest), "signature": to_base64(signature)}) + b"\n"


def secret_line(secret: bytes) -> bytes:
    """Encode an activated secret."""
    return canonical_json({"secret": to_base64(secret)}) + b"\n"


def error_line(code: str, message: str) -> bytes:
    """Encode a refusal."""
    return canonical_json({"error": {"code": code, "message": message}}) + b"\n"
