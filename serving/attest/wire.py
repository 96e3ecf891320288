"""The attester's protocol: one JSON object a line, one answer a line, in order.

``{"op":"evidence","nonce":<hex>}`` → ``{"evidence":{…}}``;
``{"op":"activate","credential_blob":<base64>,"encrypted_secret":<base64>}`` → ``{"secret":<base64>}``;
anything that fails → ``{"error":{"code":…,"message":…}}``.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.binding import NONCE_SIZE
from client_sdk.encoding import canonical_json, from_base64, from_hex, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys
from serving.attest.tpm import MAX_CREDENTIAL, MAX_SECRET
from serving.errors import RequestError

MAX_LINE = 4096


@dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """Somebody wants a quote over this nonce."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class ActivateRequest:
    """Somebody wants a secret back that only this machine can decrypt."""

    credential_blob: bytes
    encrypted_secret: bytes


def parse_request(line: bytes) -> EvidenceRequest | ActivateRequest:
    """Decode one line.

    Raises:
        RequestError: on anything else than the two requests; the message never repeats the input.
    """
    try:
        value = strict_json(line, limit=MAX_LINE)
        if isinstance(value, dict) and value.get("op") == "evidence":
            fields = exact_keys(value, frozenset({"op", "nonce"}), "$")
            return EvidenceRequest(from_hex(fields["nonce"], "$.nonce", size=NONCE_SIZE))
        fields = exact_keys(value, frozenset({"op", "credential_blob", "encrypted_secret"}), "$")
        if fields["op"] != "activate":
            raise RequestError("bad_request", "$.op: evidence or activate")
        return ActivateRequest(
            from_base64(fields["credential_blob"], "$.credential_blob", limit=MAX_CREDENTIAL),
            from_base64(fields["encrypted_secret"], "$.encrypted_secret", limit=MAX_SECRET),
        )
    except EvidenceError as error:
        raise RequestError("bad_request", f"{error.where[:16]}: not a request of this protocol") from error


def evidence_line(evidence: bytes) -> bytes:
    """Encode evidence that is JSON already."""
    return b'{"evidence":' + evidence + b"}\n"


def secret_line(secret: bytes) -> bytes:
    """Encode an activated secret."""
    return canonical_json({"secret": to_base64(secret)}) + b"\n"


def error_line(code: str, message: str) -> bytes:
    """Encode a refusal."""
    return canonical_json({"error": {"code": code, "message": message}}) + b"\n"
