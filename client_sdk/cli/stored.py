"""`vitrine verify --evidence FILE --nonce HEX --now INSTANT`: judge raw evidence that somebody stored.

The file is the body that a service sent (docs/protocol.md), nothing around it. The verdict is the one that a client
would have given at that instant, but for what only a connection shows (rule C3).
"""

from __future__ import annotations

import argparse

from client_sdk.binding import NONCE_SIZE
from client_sdk.cli.options import UsageError, at, opened, trust
from client_sdk.cli.verdict import Subject, tell_acceptance, tell_refusal
from client_sdk.encoding import MAX_JSON, from_hex
from client_sdk.errors import AttestationError, EvidenceError
from client_sdk.rounds import judge_stored


def add_stored(parser: argparse.ArgumentParser) -> None:
    """Add where the service is, or what tells of stored evidence instead."""
    parser.add_argument("origin", metavar="ORIGIN", nargs="?", default="", help="https://HOST[:PORT] of the service")
    group = parser.add_argument_group("stored raw evidence, in place of ORIGIN")
    group.add_argument("--nonce", metavar="HEX", help="the nonce that the evidence in --evidence was asked for with")
    group.add_argument("--now", metavar="INSTANT", type=at, help="judge it as at 2026-01-31T12:00:00Z")


def is_stored(arguments: argparse.Namespace) -> bool:
    """Tell whether raw evidence is to be judged.

    Raises:
        UsageError: options that do not go together.
    """
    given = [arguments.nonce is not None, arguments.now is not None]
    if not any(given):
        if not arguments.origin:
            raise UsageError("expected ORIGIN, or --evidence, --nonce and --now")
        return False
    if not all(given) or not arguments.evidence or arguments.origin or arguments.save or arguments.at:
        raise UsageError("raw evidence takes --evidence, --nonce and --now; not ORIGIN, --save or --at")
    if arguments.html and arguments.html == arguments.evidence:
        raise UsageError("--html needs a file of its own")
    return True


def run_stored(arguments: argparse.Namespace) -> int:
    """Judge and print; return the exit code."""
    trusted, name = trust(arguments), str(arguments.evidence)
    try:
        nonce = from_hex(arguments.nonce, "--nonce", size=NONCE_SIZE)
        with arguments.evidence.open("rb") as file:
            evidence = file.read(MAX_JSON + 1)
    except EvidenceError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"--evidence: cannot read {name}: {error.strerror}") from error
    note = f" as at {arguments.now:%Y-%m-%dT%H:%M:%SZ}"
    subject = Subject(name, trusted.policy, when=arguments.now, saved=True, note=note)
    try:
        releases = opened(trusted, at_instant=arguments.now)
        accepted = judge_stored(
            evidence,
            nonce,
            releases=releases,
            policy=trusted.policy,
            now=arguments.now,
            collateral=trusted.collateral,
        )
    except AttestationError as error:
        return tell_refusal(error, subject, arguments)
    return tell_acceptance(accepted.report, subject, arguments)
