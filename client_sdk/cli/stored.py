"""`vitrine verify --evidence FILE --nonce HEX --at INSTANT`: judge raw evidence that somebody stored.

The file is the body that a service sent (docs/protocol.md), nothing around it. The verdict is the one that a client
would have given at that instant, but for what only a connection shows (rule C3).
"""

from __future__ import annotations

import argparse

from client_sdk.binding import NONCE_SIZE
from client_sdk.cli.evidence_file import read_raw
from client_sdk.cli.options import UsageError, at, opened, trust
from client_sdk.cli.verdict import Subject, tell_acceptance, tell_refusal
from client_sdk.encoding import from_hex
from client_sdk.errors import AttestationError, EvidenceError
from client_sdk.rounds import judge_stored


def add_stored(parser: argparse.ArgumentParser) -> None:
    """Add where the service is, or what tells of stored evidence instead."""
    parser.add_argument("origin", metavar="ORIGIN", nargs="?", default="", help="https://HOST[:PORT] of the service")
    group = parser.add_argument_group("stored raw evidence, in place of ORIGIN")
    group.add_argument("--nonce", metavar="HEX", help="the nonce that the evidence in --evidence was asked for with")
    group.add_argument("--now", metavar="INSTANT", type=at, help="another name of --at, which is needed here")


def is_stored(arguments: argparse.Namespace) -> bool:
    """Tell whether raw evidence is to be judged.

    Raises:
        UsageError: options that do not go together.
    """
    if arguments.nonce is None:
        if not arguments.origin:
            raise UsageError("expected ORIGIN, or --evidence, --nonce and --at for raw evidence")
        return False
    if not arguments.at or not arguments.evidence or arguments.origin or arguments.save:
        raise UsageError("raw evidence takes --evidence, --nonce and --at; neither ORIGIN nor --save")
    if arguments.html and arguments.html == arguments.evidence:
        raise UsageError("--html needs a file of its own")
    return True


def run_stored(arguments: argparse.Namespace) -> int:
    """Judge and print; return the exit code."""
    trusted, name = trust(arguments), str(arguments.evidence)
    try:
        nonce = from_hex(arguments.nonce, "--nonce", size=NONCE_SIZE)
    except EvidenceError as error:
        raise UsageError(f"{error}; give the nonce as it stands in the request") from error
    evidence = read_raw(arguments.evidence)
    note = f" as at {arguments.at:%Y-%m-%dT%H:%M:%SZ}"
    subject = Subject(name, trusted.policy, when=arguments.at, saved=True, stored=True, note=note)
    try:
        releases = opened(trusted, at_instant=arguments.at)
        accepted = judge_stored(
            evidence,
            nonce,
            releases=releases,
            policy=trusted.policy,
            now=arguments.at,
            collateral=trusted.collateral,
        )
    except AttestationError as error:
        return tell_refusal(error, subject, arguments)
    return tell_acceptance(accepted.report, subject, arguments)
