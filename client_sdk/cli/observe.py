"""`vitrine observe`: verified measurements of a service, without a release to compare them with."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from client_sdk.cli.codes import NO_VERDICT, REFUSED
from client_sdk.cli.firmware_values import firmware_values
from client_sdk.cli.options import (
    Commands,
    add_collateral,
    add_command,
    add_network,
    add_origin,
    add_simulated,
    collateral,
    now,
    origin,
    patiently,
    policy,
)
from client_sdk.cli.printing import print_json, print_refusal, print_report, progress, refusal_as_dict
from client_sdk.errors import AttestationError, FetchError
from client_sdk.rounds import examine, gather

_EXAMPLES = ("vitrine observe https://127.0.0.1:8443 --simulated tpm-ca.pem",)


def register(commands: Commands) -> None:
    """Add the command."""
    text = "print what a service verifiably measured; nobody vouches for the values, so trust nothing because of them"
    parser = add_command(commands, "observe", text, _EXAMPLES)
    add_origin(parser)
    add_simulated(parser)
    add_collateral(parser)
    add_network(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify without a release and print; return the exit code."""
    where, chosen, files = origin(arguments), policy(arguments), collateral(arguments)
    try:
        gathered = patiently(lambda: gather(where, timeout=arguments.timeout), wait=arguments.wait, say=progress)
        verified = examine(gathered, roots=chosen.roots, now=now(), collateral=files)
    except AttestationError as error:
        if arguments.json:
            print_json(refusal_as_dict(error, origin=str(where)))
        else:
            print_refusal(error, origin=str(where))
        return NO_VERDICT if isinstance(error, FetchError) else REFUSED
    if arguments.json:
        pcrs = {str(pcr): value.hex() for pcr, value in verified.pcrs.items()}
        told = {"pcrs": pcrs, "firmware": firmware_values(verified)}
        print_json(verified.report.as_dict() | {"origin": str(where), "spki_sha256": verified.spki.hex(), **told})
        return 0
    print_report(verified.report, origin=str(where), note="; compared with no release")
    for pcr, value in sorted(verified.pcrs.items()):
        sys.stdout.write(f"PCR {pcr:2} {value.hex()}\n")
    _print_firmware(firmware_values(verified))
    return 0


def _print_firmware(found: dict[str, Any] | None) -> None:
    if found is None:
        sys.stdout.write("firmware: this platform gives no event log\n")
        return
    for name in ("pcr1", "rtmr0"):
        for digest in found[name]:
            sys.stdout.write(f"{name} event {digest}\n")
    for name, value in found["variables"].items():
        sys.stdout.write(f"variable {name} {value or '(empty)'}\n")
