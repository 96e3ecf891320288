"""What the gateway's command line says about access. All of it stands in the measured unit and image."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk.access_token import read_issuers
from client_sdk.errors import EvidenceError
from client_sdk.fields import instant
from serving.access.interface import Access
from serving.access.tokens import Terms, TokenAccess
from serving.access.unrestricted import OpenAccess
from serving.errors import AccessError

OPEN, TOKENS = "open", "tokens"
_FIELDS = ("access", "issuers", "audience", "issued_after", "built")


@dataclass(frozen=True, slots=True)
class Settings:
    """``issuers`` is a file of public keys, ``built`` one whose time of change is the day of the image."""

    access: str
    issuers: Path
    audience: str
    issued_after: str
    built: Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; there is no default, so that nothing is open by omission."""
    parser.add_argument("--access", choices=(OPEN, TOKENS), required=True)
    parser.add_argument("--issuers", type=Path, required=True)
    parser.add_argument("--audience", required=True)
    parser.add_argument("--issued-after", required=True)
    parser.add_argument("--built", type=Path, required=True)


def take_settings(options: dict[str, Any]) -> Settings:
    """Take these options out of those that were parsed."""
    return Settings(**{name: options.pop(name) for name in _FIELDS})


def create_access(settings: Settings, *, models: frozenset[str], callers: int) -> Access:
    """Make what judges callers; at most ``callers`` are counted at once.

    Raises:
        AccessError: image and unit contradict each other, or a file is not what it should be.
    """
    try:
        keys = settings.issuers.read_text("ascii")
        if settings.access == OPEN:
            if keys.strip():
                raise AccessError("access is open, and yet the image names an issuer")
            return OpenAccess(models)
        issued_after = instant(settings.issued_after, "issued-after").timestamp() if settings.issued_after else 0.0
        terms = Terms(read_issuers(keys), settings.audience, settings.built.stat().st_mtime, issued_after)
    except (OSError, UnicodeDecodeError, EvidenceError) as error:
        raise AccessError(f"access: {error}") from error
    if not terms.service:
        raise AccessError("access is by tokens, and no service is named that they are for")
    return TokenAccess(terms, callers=callers)
