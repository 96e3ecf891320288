"""Who may ask the service of an image: what the inventory says of it, checked before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from client_sdk.access_token import read_issuers, spell_issuers
from client_sdk.errors import EvidenceError
from client_sdk.fields import instant
from provisioner.errors import Fault, SpecError

KINDS = ("open", "tokens")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # it stands in a unit, where % and $ mean something
_MAKE_ONE = "the issuer's public key (`vitrine token keygen` makes it), or gateway_access: open"


@dataclass(frozen=True, slots=True)
class Access:
    """``issuers`` is what the manifest names, empty where access is open; ``service`` is whom tokens are for."""

    issuers: str
    service: str


def read_access(told: Mapping[str, Any]) -> Access:
    """Read the gateway's variables.

    Raises:
        SpecError: with every fault. None of them repeats a key: it may be the wrong half.
    """
    kind, keys, service, after = (
        told[f"gateway_{name}"] for name in ("access", "token_issuer_key", "token_service", "tokens_issued_after")
    )
    faults = [] if kind in KINDS else [Fault("gateway_access", " or ".join(KINDS), repr(kind))]
    issuers = ""
    if isinstance(keys, str) and keys.strip():
        if kind == "open":
            faults.append(Fault("gateway_token_issuer_key", "none, for gateway_access is open", "a key"))
        with suppress(EvidenceError):
            issuers = spell_issuers(read_issuers(keys))
        if not issuers:
            faults.append(Fault("gateway_token_issuer_key", "public Ed25519 keys in PEM form", "something else"))
    elif kind == "tokens":
        faults.append(Fault("gateway_token_issuer_key", _MAKE_ONE, "nothing"))
    if (kind == "tokens" or service) and not _SERVICE.fullmatch(str(service)):
        expected = "whom tokens are for, which is deploy_service: letters, digits, dots, hyphens, underscores"
        faults.append(Fault("gateway_token_service", expected, repr(service)))
    if after:
        try:
            instant(after, "")
        except EvidenceError:
            expected = 'an instant like "2026-01-31T12:00:00Z", in quotes, or nothing'
            faults.append(Fault("gateway_tokens_issued_after", expected, repr(after)))
    if faults:
        raise SpecError(tuple(faults))
    return Access(issuers, str(service) if kind == "tokens" else "")


def require_service(access: Access, service: str) -> None:
    """Require that tokens are for the service that the release will name, where the inventory says it (``service``).

    Raises:
        SpecError: they are for another.
    """
    if access.issuers and service and access.service != service:
        raise SpecError((Fault("gateway_token_service", f"{service!r}, as deploy_service is", repr(access.service)),))
