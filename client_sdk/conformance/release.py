"""Stage ``release``: a signed release, or the bundle of one, by the pins of its publisher and what was seen before.

Fields are in ``docs/conformance/release.md``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.conformance.request import Request
from client_sdk.errors import AttestationError, EvidenceError, VerificationError
from client_sdk.fields import items, text
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.report import Ledger, plain
from client_sdk.transparency.client.memory import Passing
from client_sdk.transparency.formats.note import NoteVerifier

FIELDS = ("release", "before", "publisher", "now")
PINS = ("keys_hex", "threshold", "log", "witnesses", "witness_quorum", "max_checkpoint_age_days", "rebuilders_hex")
_MAX_KEYS = 64


def release(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge it; what was given before is remembered from one to the next, whatever came of it then."""
    request.only(*FIELDS)
    publisher, now = _publisher(request.part("publisher")), request.now()
    memory = Passing() if request.has("before") else None
    for i, earlier in enumerate(request.blobs("before")):
        _seen(earlier, publisher, now, memory, f"{request.place('before')}[{i}]")
    data = request.blob("release")
    try:
        opened = open_releases(data, publisher, now=now, memory=memory)
    except EvidenceError as error:
        raise _inside(request.place("release"), error) from error
    except AttestationError as error:
        ledger.rows += error.checks
        raise
    ledger.rows += opened.rows
    (found,) = opened.releases
    facts = {"service": found.service, "number": found.number, **dict(opened.facts)}
    return facts | {"not_run": plain([{"rules": rules, "why": why} for rules, why in opened.not_run])}


def _seen(data: bytes, publisher: Publisher, now: datetime, memory: Passing | None, where: str) -> None:
    try:
        open_releases(data, publisher, now=now, memory=memory)
    except VerificationError:
        return  # and what was verified until then is remembered
    except EvidenceError as error:
        raise _inside(where, error) from error


def _inside(where: str, error: EvidenceError) -> EvidenceError:
    """Name the file in which something is malformed."""
    place = error.where.removeprefix("$")
    inside = f"{where}{place}" if place != error.where else f"{where} ({place})"
    return EvidenceError(inside, str(error).removeprefix(f"{error.where}: "))


def _publisher(pins: Request) -> Publisher:
    pins.only(*PINS)
    log = _note_key(pins.word("log"), pins.place("log")) if pins.has("log") else None
    quorum = pins.number("witness_quorum") if pins.has("witness_quorum") else None
    age = pins.days("max_checkpoint_age_days", 0) if pins.has("max_checkpoint_age_days") else None
    return Publisher(
        keys=_keys(pins, "keys_hex"),
        threshold=pins.number("threshold", 1),
        log=log,
        witnesses=_witnesses(pins),
        witness_quorum=quorum,
        rebuilders=_keys(pins, "rebuilders_hex"),
        max_checkpoint_age=age,
    )


def _keys(pins: Request, name: str) -> tuple[Ed25519PublicKey, ...]:
    return tuple(Ed25519PublicKey.from_public_bytes(raw) for raw in pins.hex_list(name, size=32))


def _witnesses(pins: Request) -> tuple[NoteVerifier, ...]:
    where = pins.place("witnesses")
    given = items(pins.fields["witnesses"], where, limit=_MAX_KEYS) if pins.has("witnesses") else []
    named = ((value, f"{where}[{i}]") for i, value in enumerate(given))
    return tuple(_note_key(text(value, place, limit=1024), place) for value, place in named)


def _note_key(given: str, where: str) -> NoteVerifier:
    """Read a key in its text form; a path, which a pin elsewhere may be, is none here."""
    try:
        return NoteVerifier.from_text(given)
    except EvidenceError as error:
        raise EvidenceError(where, str(error)) from error
