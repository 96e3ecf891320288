"""The command ``vitrine endorsement``, as the entry-point group ``vitrine.commands`` finds it.

It reads files and asks nobody: where to get them, docs/clouds/gcp.md says.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client_sdk.errors import EvidenceError
from provisioner.endorsement.parse import parse_endorsement
from provisioner.endorsement.telling import as_json, as_text
from provisioner.endorsement.verify import VerifiedEndorsement, read_root, verify_endorsement
from provisioner.endorsement.vouched import (
    SNP,
    TDX,
    Shape,
    Vouched,
    launch_measurements,
    observed_measurement,
    require_observed,
)
from provisioner.errors import ProvisionError
from provisioner.subcommand import tell

REFUSED, USAGE = 1, 2
_HELP = "check Google's signature over what a firmware build must measure, and print what it says"
_EPILOG = """examples:
  vitrine endorsement MRTD.binarypb --root GCE-cc-tcb-root_1.crt
  vitrine endorsement MRTD.binarypb --root GCE-cc-tcb-root_1.crt --ram-gib 16 --observed observed.json --json

exit codes:
  0 genuine; with --vcpus or --ram-gib it endorses such machines, with --observed also this one
  1 refused: it is not genuine, or it does not endorse the machine
  2 usage, or another file is not what it should be
"""


class _UsageError(Exception):
    """A file beside the endorsement, or the command line, is not what it should be."""


def register(commands: Any) -> None:
    """Add the command; ``commands`` is what argparse's ``add_subparsers`` returns."""
    parser = commands.add_parser(
        "endorsement",
        help=_HELP,
        description=_HELP[0].upper() + _HELP[1:] + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a serialised VMLaunchEndorsement (.binarypb)")
    parser.add_argument(
        "--root", metavar="CERT", type=Path, required=True, help="Google's root, PEM or DER: whom you trust"
    )
    machine = parser.add_mutually_exclusive_group()
    machine.add_argument("--vcpus", metavar="N", type=_count, help="SEV-SNP: virtual CPUs that were measured at launch")
    machine.add_argument("--ram-gib", metavar="N", type=_count, help="TDX: the machine's RAM, in GiB")
    parser.add_argument(
        "--observed", metavar="FILE", type=Path, help="what `vitrine observe --json` printed of such a machine"
    )
    parser.add_argument("--firmware", metavar="FILE", type=Path, help="the firmware itself, whose SHA-384 is compared")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify and print; return the exit code.

    Raises:
        EvidenceError: the endorsement is malformed.
        VerificationError: it is not genuine.
    """
    try:
        verified = _verified(arguments)
        found = _measurements(arguments, verified)
    except _UsageError as error:
        return _say(f"usage: {error}", USAGE)
    except ProvisionError as error:
        return _say(f"refused: {error}", REFUSED)
    tell(as_json(verified, found), as_text(verified, found).splitlines(), as_json=arguments.json)
    return 0


def _verified(arguments: argparse.Namespace) -> VerifiedEndorsement:
    try:
        root = read_root(_read(arguments.root, "--root"))
    except EvidenceError as error:
        raise _UsageError(f"--root: {error}") from error
    firmware = None if arguments.firmware is None else _read(arguments.firmware, "--firmware")
    endorsement = parse_endorsement(_read(arguments.file, "FILE"))
    return verify_endorsement(endorsement, root, now=datetime.now(UTC), firmware=firmware)


def _measurements(arguments: argparse.Namespace, verified: VerifiedEndorsement) -> tuple[Vouched, ...]:
    shape = _shape(arguments)
    if shape is None:
        if arguments.observed is not None:
            raise _UsageError("--observed: say also how large the machine is: --vcpus or --ram-gib")
        return ()
    found = launch_measurements(verified, shape)
    if arguments.observed is None:
        return found
    try:
        measured = observed_measurement(_read(arguments.observed, "--observed"), shape.tee)
    except EvidenceError as error:
        raise _UsageError(f"--observed: {error}") from error
    return (require_observed(found, measured, verified),)


def _shape(arguments: argparse.Namespace) -> Shape | None:
    if arguments.vcpus is not None:
        return Shape(SNP, arguments.vcpus)
    return None if arguments.ram_gib is None else Shape(TDX, arguments.ram_gib)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= len(text) <= 6 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 999999")
    return int(text)


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _UsageError(f"{option}: {path}: {error.strerror}") from error


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"vitrine: {message}\n")
    return code
