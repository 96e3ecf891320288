"""Access tokens v1: what one bearer may ask of one service, as an Ed25519 JSON Web Token (RFC 7519, RFC 8037).

The operator's issuer signs them, the VM compares them with the issuers' public keys in its measured image, and anyone
may read them. Reading proves nothing: a token says something only to who verifies its signature.

The form is narrower than JWT's: compact serialisation, a header of exactly ``alg`` and ``typ`` (RFC 8725, 3.11: so that
no other JWT is taken for one of these), whole seconds, one audience. A header names no key: it is the sender's word.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from client_sdk.encoding import canonical_json, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, integer, items, text, version

VERSION = 1
HEADER = {"alg": "EdDSA", "typ": "vitrine-token+jwt"}
MAX_TOKEN = 4096  # characters: a request's head has room for more, and nothing needs it
MAX_SECONDS = 7 * 24 * 3600  # from ``iat`` to ``exp``: a stolen token lives no longer
MAX_MODELS, MAX_MODEL = 32, 128
MAX_RATE = 100_000
MAX_BUDGET = 10**12
MAX_ISSUERS = 4  # during a change of keys there are two

_CLAIMS = frozenset(
    {"version", "iss", "aud", "sub", "iat", "exp", "jti"} | {"models", "rate", "tokens"}  # RFC 7519, 4.1; our own
)
_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----")
_PEM_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Issuer:
    """A public key whose tokens are taken. ``name`` is the SHA-256 of its SubjectPublicKeyInfo in hex: the ``iss``."""

    key: Ed25519PublicKey
    name: str

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> Issuer:
        """Name a key."""
        return cls(key, sha256(_spki(key)).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says. Instants are seconds since 1970; ``rate`` is requests a minute, ``tokens`` the whole budget.

    ``subject`` stays the same when a token is renewed, ``token_id`` never does; both are 128 random bits, so that
    neither says who somebody is.
    """

    issuer: str
    service: str
    subject: str
    issued_at: int
    expires_at: int
    token_id: str
    models: tuple[str, ...]
    rate: int
    tokens: int

    def as_dict(self) -> dict[str, Any]:
        """Return the claims under their names in the token."""
        return {
            "version": VERSION,
            "iss": self.issuer,
            "aud": self.service,
            "sub": self.subject,
            "iat": self.issued_at,
            "exp": self.expires_at,
            "jti": self.token_id,
            "models": list(self.models),
            "rate": self.rate,
            "tokens": self.tokens,
        }

    @classmethod
    def from_json(cls, payload: bytes) -> Claims:
        """Decode a token's second part.

        Raises:
            EvidenceError: on anything that is not these claims.
        """
        top = exact_keys(strict_json(payload, limit=MAX_TOKEN), _CLAIMS, "$")
        version(top["version"], "$.version", VERSION)
        issued_at = integer(top["iat"], "$.iat")
        return cls(
            issuer=text(top["iss"], "$.iss", limit=64),
            service=text(top["aud"], "$.aud", limit=128),
            subject=_id(top["sub"], "$.sub"),
            issued_at=issued_at,
            expires_at=integer(top["exp"], "$.exp", low=issued_at + 1, high=issued_at + MAX_SECONDS),
            token_id=_id(top["jti"], "$.jti"),
            models=_models(top["models"]),
            rate=integer(top["rate"], "$.rate", low=1, high=MAX_RATE),
            tokens=integer(top["tokens"], "$.tokens", low=1, high=MAX_BUDGET),
        )


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token taken apart: ``signed`` are the bytes under the signature. Whose that is, nobody has looked at yet."""

    signed: bytes
    signature: bytes
    payload: bytes


def take_apart(token: str) -> Unverified:
    """Split a token, and require its header to be exactly the one of this format.

    Raises:
        EvidenceError: it is no such token.
    """
    found = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN else None
    if found is None:
        raise EvidenceError("token", f"not three parts of base64url, of at most {MAX_TOKEN} characters in all")
    header, payload, signature = map(_decoded, found.groups())
    if strict_json(header, limit=MAX_TOKEN) != HEADER:
        raise EvidenceError("token", "the header is not that of a token of this kind")
    return Unverified(token.rpartition(".")[0].encode("ascii"), signature, payload)


def signing_input(claims: Claims) -> bytes:
    """Return what the issuer signs (RFC 7515, 5.1).

    Raises:
        EvidenceError: these claims cannot be, or are too many for one token.
    """
    payload = canonical_json(claims.as_dict())
    Claims.from_json(payload)
    return b".".join(map(_encoded, (canonical_json(HEADER), payload)))


def put_together(signed: bytes, signature: bytes) -> str:
    """Return the token.

    Raises:
        EvidenceError: it is too long.
    """
    token = b".".join((signed, _encoded(signature))).decode("ascii")
    take_apart(token)
    return token


def read_issuers(pem: str) -> tuple[Issuer, ...]:
    """Read the public keys of a PEM text, one after the other and nothing between them.

    Raises:
        EvidenceError: anything else is in it; the message repeats none of it, for it may be a private key.
    """
    blocks = _PEM.findall(pem) if len(pem) <= _PEM_LIMIT else []
    if not 1 <= len(blocks) <= MAX_ISSUERS or _PEM.sub("", pem).strip():
        raise EvidenceError("issuers", f"not 1 to {MAX_ISSUERS} public keys in PEM form and nothing else")
    issuers = tuple(Issuer.of(_public_key(block)) for block in blocks)
    if len({issuer.name for issuer in issuers}) != len(issuers):
        raise EvidenceError("issuers", "a key is there twice")
    return issuers


def spell_issuers(issuers: tuple[Issuer, ...]) -> str:
    """Return keys as the manifest names them: each SubjectPublicKeyInfo in base64, with a space between two."""
    return " ".join(base64.b64encode(_spki(issuer.key)).decode("ascii") for issuer in issuers)


def _public_key(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError("issuers", "a block holds no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError("issuers", "a key is not an Ed25519 key")
    return key


def _spki(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(part: str) -> bytes:
    """Decode base64url without padding (RFC 7515, 2): the one text that gives these bytes."""
    raw = part.encode("ascii")
    if len(raw) % 4 == 1:
        raise EvidenceError("token", "not base64url")
    data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    if _encoded(data) != raw:
        raise EvidenceError("token", "base64url is not canonical")
    return data


def _id(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise EvidenceError(where, "not 22 characters of base64url: 128 random bits, and nobody's name")
    return value


def _models(value: Any) -> tuple[str, ...]:
    names = items(value, "$.models", limit=MAX_MODELS)
    found = tuple(text(name, f"$.models[{i}]", limit=MAX_MODEL) for i, name in enumerate(names))
    if not found or len(set(found)) != len(found):
        raise EvidenceError("$.models", "not a list of different models, of at least one")
    return found
