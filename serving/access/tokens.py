"""Access by signed tokens: what lets a request through.

    (1) this machine's clock is not before the day on which its image was made
    (2) there is one token, and one of the issuers in the measured image signed it
    (3) it is for this service, not expired, not from the future, and not from before the instant that the release names
    (4) its subject has not asked too often
    (5) something of its budget is left

Until the second step nothing that the token says is looked at but its fixed header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature

from client_sdk.access_token import MAX_TOKEN, Claims, Issuer, take_apart
from client_sdk.errors import EvidenceError
from serving.access.budgets import Budgets
from serving.access.interface import Caller, Headers
from serving.access.rates import Rates
from serving.access.refusals import (
    clock_wrong,
    token_expired,
    token_invalid,
    token_missing,
    token_revoked,
    token_too_early,
)

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")  # RFC 6750, 2.1; RFC 9110, 11.1
# The issuer's clock may be ahead of this one: nothing sets a sealed machine's clock right while it runs.
EARLY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Terms:
    """What a token must fit, all of it from the measured image: instants are in seconds since 1970."""

    issuers: tuple[Issuer, ...]
    service: str
    built: float
    issued_after: float


class TokenAccess:
    """Judges by token; it keeps counts by random ids, in memory, and nothing else."""

    def __init__(self, terms: Terms, *, callers: int) -> None:
        self._terms = terms
        self._rates, self._budgets = Rates(callers), Budgets(callers)

    def judge(self, headers: Headers, now: float) -> Caller:
        """Return the caller whose token these headers hold.

        Raises:
            RequestError: with the step that failed, in a constant text.
        """
        if now < self._terms.built:  # (1)
            raise clock_wrong()
        claims = _genuine(_bearer(headers), self._terms.issuers)  # (2)
        _require_acceptable(claims, self._terms, now)  # (3)
        self._rates.take(claims.subject, claims.rate, now)  # (4)
        budget = self._budgets.open(claims, now)  # (5)
        return Caller(claims.subject, frozenset(claims.models), budget)


def _bearer(headers: Headers) -> str:
    given = [value for name, value in headers if name == b"authorization"]
    if not given:
        raise token_missing()
    found = _BEARER.fullmatch(given[0]) if len(given) == 1 and len(given[0]) <= 2 * MAX_TOKEN else None
    if found is None:
        raise token_invalid()
    return found[1].decode("ascii")


def _genuine(token: str, issuers: tuple[Issuer, ...]) -> Claims:
    try:
        apart = take_apart(token)
        for issuer in issuers:
            try:
                issuer.key.verify(apart.signature, apart.signed)
            except InvalidSignature:
                continue
            claims = Claims.from_json(apart.payload)
            if claims.issuer == issuer.name:
                return claims
    except EvidenceError:
        raise token_invalid() from None  # the cause would quote the token
    raise token_invalid()


def _require_acceptable(claims: Claims, terms: Terms, now: float) -> None:
    if claims.service != terms.service:
        raise token_invalid()
    if claims.expires_at <= now:
        raise token_expired()
    if claims.issued_at > now + EARLY_SECONDS:
        raise token_too_early()
    if claims.issued_at < terms.issued_after:
        raise token_revoked()
