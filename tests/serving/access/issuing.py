"""Tokens of a test's own issuer, made with what the operator's command uses."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.access_token import HEADER, Claims, Issuer, put_together, signing_input
from provisioner.keys import public_pem
from serving.access.settings import Settings
from serving.access.tokens import Terms, TokenAccess
from tests.serving.gateway.running import MODEL

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
BUILT, NOW = 1_800_000_000, 1_800_100_000
SERVICE = "vitrine-test"


def claims(key=KEY, **changes):
    made = Claims(
        issuer=Issuer.of(key.public_key()).name,
        service=SERVICE,
        subject="s" * 22,
        issued_at=NOW - 60,
        expires_at=NOW + 3600,
        token_id="j" * 22,
        models=(MODEL,),
        rate=60,
        tokens=100_000,
    )
    return replace(made, **changes)


def token(key=KEY, **changes):
    signed = signing_input(claims(key, **changes))
    return put_together(signed, key.sign(signed))


def encoded(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def with_header(header, sign):
    """A token whose other parts are right; ``sign`` gets what is signed."""
    signed = f"{encoded(header)}.{encoded(claims().as_dict())}"
    return f"{signed}.{encoded(sign(signed.encode()))}"


def with_payload(payload, key=KEY):
    signed = f"{encoded(HEADER)}.{encoded(payload)}"
    return f"{signed}.{encoded(key.sign(signed.encode()))}"


def bearer(text):
    return [(b"host", b"x"), (b"authorization", b"Bearer " + text.encode("latin-1"))]


def access(*keys, callers=100, **terms):
    issuers = tuple(Issuer.of(key.public_key()) for key in keys or (KEY,))
    return TokenAccess(Terms(issuers, terms.get("service", SERVICE), BUILT, terms.get("after", 0)), callers=callers)


def by_tokens(folder, *, built=BUILT, after="", keys=(KEY,), kind="tokens", service=SERVICE):
    """What the unit of an image with these issuers says."""
    (folder / "issuers.pem").write_bytes(b"".join(map(public_pem, keys)) + b"\n")
    (folder / "clock-epoch").touch()
    os.utime(folder / "clock-epoch", (built, built))
    return Settings(kind, folder / "issuers.pem", service, after, folder / "clock-epoch")
