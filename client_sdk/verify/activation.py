"""Credential activation: proof that the attestation key lives in the TPM whose endorsement key a CA certified.

(Q8.1) The endorsement key is of the standard template: RSA-2048 with exponent 65537 (TCG EK Credential Profile, L-1).
(Q8.2) The credential was made for this very endorsement key and this very attestation key.
(Q8.3) The secret came back: ``TPM2_ActivateCredential`` gives it only in the TPM that holds both.

Without it an EK certificate proves nothing about an AK. MakeCredential follows TPM 2.0 Library, part 1, section 24,
with the algorithms of that template: SHA-256 throughout, AES-128-CFB.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.encoding import canonical_json, to_base64
from client_sdk.errors import VerificationError
from client_sdk.report import Ledger, Phrase
from client_sdk.rules import keeps

SECRET_SIZE = 32
EK_BITS, EK_EXPONENT = 2048, 65537
_EK_SPKI_SIZE, _EK_EXPONENT_DER = 294, b"\x02\x03\x01\x00\x01"
RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class ActivationRequest:
    """What is sent: the contents of a TPM2B_ID_OBJECT and of a TPM2B_ENCRYPTED_SECRET, without their own sizes."""

    credential_blob: bytes
    encrypted_secret: bytes

    def to_json(self) -> bytes:
        """Serialise as the body of the second round."""
        blob, secret = to_base64(self.credential_blob), to_base64(self.encrypted_secret)
        return canonical_json({"credential_blob": blob, "encrypted_secret": secret})


@dataclass(frozen=True, slots=True)
class ActivationState:
    """What is kept between the rounds: the secret, and which keys it was meant for."""

    secret: bytes
    ak_name: bytes
    ek: bytes


@dataclass(frozen=True, slots=True)
class Activation:
    """Both ends of a finished round: what was kept, and what came back."""

    state: ActivationState
    answer: bytes


@keeps("Q8.1")
def make_credential(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, ak_name: bytes, random: RandomBytes
) -> tuple[ActivationRequest, ActivationState]:
    """Encrypt a fresh secret to an endorsement key so that only its TPM, and only for this AK, gives it back.

    Raises:
        VerificationError: Q8.1.
    """
    checked, ek = _template(key, Ledger())
    secret, seed = random(SECRET_SIZE), random(SECRET_SIZE)
    try:
        encrypted_seed = checked.encrypt(seed, padding.OAEP(padding.MGF1(SHA256()), SHA256(), b"IDENTITY\0"))
    except ValueError as error:  # an even modulus, for example
        what = "a secret can be encrypted to the endorsement key"
        raise VerificationError("Q8.1", what, expected="an RSA key", got="a key that encrypts nothing") from error
    cipher = Cipher(AES(_kdfa(seed, b"STORAGE", ak_name, 128)), CFB(bytes(16))).encryptor()
    identity = cipher.update(_tpm2b(secret)) + cipher.finalize()
    integrity = hmac.digest(_kdfa(seed, b"INTEGRITY", b"", 256), identity + ak_name, "sha256")
    request = ActivationRequest(_tpm2b(integrity) + identity, encrypted_seed)
    return request, ActivationState(secret, ak_name, ek)


@keeps("Q8.2", "Q8.3")
def verify_activation(
    activation: Activation | None,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    ak_name: bytes,
    *,
    ledger: Ledger,
) -> None:
    """Check that the attestation key and the endorsement key are in one TPM.

    Raises:
        VerificationError: Q8.
    """
    _, ek = _template(key, ledger)
    if activation is None:
        what = "the attestation key was activated (else ask the peer for the second round)"
        raise VerificationError("Q8.3", what, expected="an activation", got="none")
    state = activation.state
    ledger.equal("Q8.2", "the credential was made for this endorsement key", expected=ek, got=state.ek)
    ledger.equal("Q8.2", "the credential was made for this attestation key", expected=ak_name, got=state.ak_name)
    ledger.holds(
        "Q8.3",
        "the TPM that the CA certified holds the attestation key: it gave the secret back",
        expected="the secret of 32 bytes",
        got=Phrase((len(activation.answer), "bytes")),
        condition=hmac.compare_digest(state.secret, activation.answer) and len(state.secret) == SECRET_SIZE,
    )


@keeps("Q8.1")
def _template(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, ledger: Ledger) -> tuple[rsa.RSAPublicKey, bytes]:
    """Return the key, and its name: the SHA-256 of its SubjectPublicKeyInfo."""
    if not isinstance(key, rsa.RSAPublicKey):
        raise VerificationError("Q8.1", "the endorsement key is of the standard template", expected="RSA", got="ECC")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ledger.holds(
        "Q8.1",
        "the endorsement key is of the standard template",
        expected=Phrase(("RSA", EK_BITS, "with exponent", EK_EXPONENT)),
        got=partial(_description, key),
        # The exponent is the last element; with the modulus' and the whole's size its own size is given.
        condition=key.key_size == EK_BITS and len(spki) == _EK_SPKI_SIZE and spki.endswith(_EK_EXPONENT_DER),
    )
    return key, sha256(spki).digest()


def _description(key: rsa.RSAPublicKey) -> Phrase:
    return Phrase(("RSA", key.key_size, "with exponent", key.public_numbers().e))


def _tpm2b(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """Derive at most 256 bits: one round of KDFa (TPM 2.0 Library, part 1, section 11.4.10.2)."""
    message = (1).to_bytes(4, "big") + label + b"\0" + context + bits.to_bytes(4, "big")
    return hmac.digest(key, message, "sha256")[: bits // 8]
