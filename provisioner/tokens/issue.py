"""Signing access tokens. Nobody needs to be told of a new one: the VM knows the issuer's public key alone."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.access_token import Claims, Issuer, put_together, signing_input, take_apart
from client_sdk.errors import EvidenceError
from provisioner.errors import Fault, SpecError

HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows. ``subject`` is that of an earlier token, or empty for a new one."""

    service: str
    models: tuple[str, ...]
    rate: int
    tokens: int
    hours: int
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, which is a secret, and what it says, which is none."""

    token: str
    claims: Claims


def issue(key: Ed25519PrivateKey, grant: Grant, *, now: int) -> Issued:
    """Sign a token; ``now`` is in seconds since 1970. Its ids are random and say nothing about anybody.

    Raises:
        SpecError: the grant cannot be put into a token.
    """
    claims = Claims(
        issuer=Issuer.of(key.public_key()).name,
        service=grant.service,
        subject=grant.subject or _random_id(),
        issued_at=now,
        expires_at=now + grant.hours * HOUR,
        token_id=_random_id(),
        models=grant.models,
        rate=grant.rate,
        tokens=grant.tokens,
    )
    try:
        signed = signing_input(claims)
        return Issued(put_together(signed, key.sign(signed)), claims)
    except EvidenceError as error:
        raise SpecError((Fault("the token", "something that a token can say", str(error)),)) from error


def renew(key: Ed25519PrivateKey, token: str, *, hours: int, now: int) -> Issued:
    """Sign a token of the same subject, with the same rights, a time of its own and a budget of its own.

    The old one stays valid until it expires; it may have expired.

    Raises:
        SpecError: this key did not sign the old one.
    """
    claims = _own(key, token)
    grant = Grant(
        service=claims.service,
        models=claims.models,
        rate=claims.rate,
        tokens=claims.tokens,
        hours=hours,
        subject=claims.subject,
    )
    return issue(key, grant, now=now)


def _own(key: Ed25519PrivateKey, token: str) -> Claims:
    try:
        apart = take_apart(token)
        key.public_key().verify(apart.signature, apart.signed)
        return Claims.from_json(apart.payload)
    except (EvidenceError, InvalidSignature) as error:
        raise SpecError((Fault("the old token", "a token that this key signed", "another"),)) from error


def _random_id() -> str:
    return secrets.token_urlsafe(16)
