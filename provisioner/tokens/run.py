"""What ``vitrine token`` does. The token alone goes to standard output; what it says goes to standard error."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.access_token import MAX_TOKEN, Claims, Issuer, take_apart
from client_sdk.errors import EvidenceError, printable
from provisioner import keys
from provisioner.errors import Fault, SpecError
from provisioner.progress import say
from provisioner.releases.files import read_file, reason
from provisioner.subcommand import tell
from provisioner.tokens.issue import Grant, Issued, issue, renew

USAGE = 2
_WANTED, _MOST = "a file with a token", 2 * MAX_TOKEN


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; return the exit code that the command's help explains."""
    try:
        _ACTIONS[arguments.action](arguments)
    except SpecError as error:
        say(f"vitrine: usage: {error}")
        return USAGE
    return 0


def _keygen(arguments: argparse.Namespace) -> None:
    private = arguments.file
    taken = "tokens of another key are refused, so none is ever replaced"
    public = keys.require_new(private, example="issuer.key", taken=taken)
    try:
        key = keys.create_pair(private, public)
    except OSError as error:
        raise SpecError((Fault(str(private), "a place where a key can be written", reason(error)),)) from error
    if arguments.json:
        made = {"key": str(private), "public": str(public), "issuer": Issuer.of(key.public_key()).name}
        tell(made, (), as_json=True)
        return
    say(f"{private} signs tokens: keep it away from others, and from the image")
    say(f"{public} goes into the image; write in the inventory:")
    say(f"  gateway_token_issuer_key: \"{{{{ lookup('ansible.builtin.file', '{public.resolve()}') }}}}\"")


def _issue(arguments: argparse.Namespace) -> None:
    grant = Grant(
        service=arguments.service,
        models=tuple(arguments.model),
        rate=arguments.rate,
        tokens=arguments.tokens,
        hours=arguments.hours,
        subject=arguments.subject,
    )
    _hand_over(issue(_issuer(arguments.key), grant, now=int(time.time())), as_json=arguments.json)


def _renew(arguments: argparse.Namespace) -> None:
    key, token = _issuer(arguments.key), _read(arguments.file)
    _hand_over(renew(key, token, hours=arguments.hours, now=int(time.time())), as_json=arguments.json)


def _show(arguments: argparse.Namespace) -> None:
    try:
        claims = Claims.from_json(take_apart(_read(arguments.file)).payload)
    except EvidenceError as error:
        raise SpecError((Fault("the token", "a token of this project", str(error)),)) from error
    tell({"claims": claims.as_dict(), "verified": False}, _lines(claims), as_json=arguments.json)
    if arguments.json:
        return
    say("not verified: anybody can write such a token; the service looks at its signature")


def _hand_over(issued: Issued, *, as_json: bool) -> None:
    if not as_json:
        for line in _lines(issued.claims):
            say(line)
    tell({"token": issued.token, "claims": issued.claims.as_dict()}, (issued.token,), as_json=as_json)


def _lines(claims: Claims) -> tuple[str, ...]:
    rows = (
        ("service", claims.service),
        ("models", ", ".join(claims.models)),
        ("subject", claims.subject),
        ("id", claims.token_id),
        ("issued", _when(claims.issued_at)),
        ("expires", _when(claims.expires_at)),
        ("rate", f"{claims.rate} requests a minute"),
        ("budget", f"{claims.tokens} tokens"),
        ("issuer", claims.issuer),
    )
    return tuple(printable(f"{name:<8} {value}") for name, value in rows)


def _when(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds} seconds since 1970"


def _issuer(path: Path) -> Ed25519PrivateKey:
    try:
        return keys.load(path)
    except OSError as error:
        raise SpecError((Fault(str(path), "the issuer's private key", reason(error)),)) from error


def _read(name: str) -> str:
    """Read a token; blanks and line breaks around it are not part of it."""
    if name != "-":
        return _token(read_file(Path(name), _WANTED, limit=_MOST))
    if sys.stdin is None:  # as Python says that it was closed before this began
        raise SpecError((Fault("standard input", _WANTED, "nothing: it is closed"),))
    try:
        return _token(sys.stdin.buffer.read(_MOST))
    except OSError as error:
        raise SpecError((Fault("standard input", _WANTED, reason(error)),)) from error


def _token(found: bytes) -> str:
    return found.decode("ascii", "replace").strip()


_ACTIONS = {"keygen": _keygen, "issue": _issue, "renew": _renew, "show": _show}
