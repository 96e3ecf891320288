"""DSSE envelopes with Ed25519 signatures (rule R1).

Source: secure-systems-lab/dsse, protocol.md and envelope.md, version 1.0. The ``keyid`` is a hint and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client_sdk.encoding import canonical_json, from_base64, strict_json, to_base64
from client_sdk.errors import VerificationError
from client_sdk.fields import exact_keys, items, text
from client_sdk.rules import keeps

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_SIGNATURES = 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and signatures over it; nothing is verified yet."""

    payload: bytes
    signatures: tuple[bytes, ...]

    @classmethod
    @keeps("R1")
    def from_json(cls, data: bytes) -> Envelope:
        """Decode an envelope of an in-toto statement.

        Raises:
            EvidenceError: it is malformed.
            VerificationError: R1, it is an envelope of something else.
        """
        top = exact_keys(strict_json(data), frozenset({"payloadType", "payload", "signatures"}), "$")
        if text(top["payloadType"], "$.payloadType") != PAYLOAD_TYPE:
            raise VerificationError("R1", "the file is a release", expected=PAYLOAD_TYPE, got=top["payloadType"][:64])
        signatures = []
        for i, item in enumerate(items(top["signatures"], "$.signatures", limit=MAX_SIGNATURES)):
            fields = exact_keys(item, frozenset({"keyid", "sig"}), f"$.signatures[{i}]")
            text(fields["keyid"], f"$.signatures[{i}].keyid")
            signatures.append(from_base64(fields["sig"], f"$.signatures[{i}].sig", limit=1024))
        return cls(from_base64(top["payload"], "$.payload"), tuple(signatures))


def pre_authentication_encoding(payload: bytes) -> bytes:
    """Return the bytes that a signature covers (DSSE "PAE")."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, keys: tuple[Ed25519PrivateKey, ...]) -> bytes:
    """Make an envelope, signed by every key; without any it is one that waits for signatures."""
    message = pre_authentication_encoding(payload)
    return assemble(payload, tuple((key.public_key(), key.sign(message)) for key in keys))


def assemble(payload: bytes, signatures: tuple[tuple[Ed25519PublicKey, bytes], ...]) -> bytes:
    """Make an envelope of signatures that were made elsewhere; they are not looked at."""
    told = [{"keyid": key_id(key), "sig": to_base64(signature)} for key, signature in signatures]
    return canonical_json({"payloadType": PAYLOAD_TYPE, "payload": to_base64(payload), "signatures": told})


def signers(envelope: Envelope, keys: tuple[Ed25519PublicKey, ...]) -> tuple[Ed25519PublicKey, ...]:
    """Return those of the caller's keys that signed; a key counts once, however often it signed."""
    return tuple(key for key, _ in valid_signatures(envelope, keys))


def valid_signatures(
    envelope: Envelope, keys: tuple[Ed25519PublicKey, ...]
) -> tuple[tuple[Ed25519PublicKey, bytes], ...]:
    """Return the same with the signature of each."""
    message = pre_authentication_encoding(envelope.payload)
    distinct = {key.public_bytes_raw(): key for key in keys}
    found = ((key, _signature_of(envelope, key, message)) for key in distinct.values())
    return tuple((key, signature) for key, signature in found if signature is not None)


def key_id(key: Ed25519PublicKey) -> str:
    """Name a key for people: the first 16 hex digits of the SHA-256 of its SubjectPublicKeyInfo."""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(spki).hexdigest()[:16]


def _signature_of(envelope: Envelope, key: Ed25519PublicKey, message: bytes) -> bytes | None:
    for signature in envelope.signatures:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return signature
    return None
