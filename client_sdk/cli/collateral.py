"""`vitrine collateral fetch` and `show`: an operator gathers what clients need to verify evidence, and looks at it."""

from __future__ import annotations

import argparse
import os
import secrets
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from client_sdk.binding import NONCE_SIZE
from client_sdk.cli.collateral_printing import print_collected, print_failures, print_inventory
from client_sdk.cli.evidence_file import read_either
from client_sdk.cli.options import Commands, UsageError, add_command, add_network, now, patiently
from client_sdk.cli.printing import print_json, progress
from client_sdk.collateral import INDEX, no_folder
from client_sdk.errors import AttestationError, EvidenceError, PolicyError
from client_sdk.evidence import Evidence
from client_sdk.fetch import Peer
from client_sdk.gather.collect import Collected, Offline, Sources, collect
from client_sdk.gather.folder import check_replaceable, index_of, read_index, write
from client_sdk.gather.inventory import inventory
from client_sdk.gather.kept import Cache
from client_sdk.gather.plan import PinnedRoots, once, plan, shipped_roots
from client_sdk.gather.wanted import MAX_CERTIFICATE, Wanted
from client_sdk.gather.web import Web
from client_sdk.origin import Origin
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.pem import parse_pem_or_der

INCOMPLETE = 3
_FETCH = (
    "vitrine collateral fetch evidence.json --output collateral",
    "vitrine collateral fetch https://one.example https://two.example --output collateral --json",
    "",
    "what leaves this machine: chip id and TCB of the CPU (to AMD), its FMSPC (to Intel), versions and SKUs of GPUs",
    "and serial numbers of certificates (to NVIDIA). Nothing else of the evidence does. See docs/collateral.md.",
)
_SHOW = ("vitrine collateral show collateral", "vitrine collateral show collateral --json")


def register(commands: Commands) -> None:
    """Add the command and its two parts."""
    text = "gather what vendors publish about the hardware in evidence, for clients to verify it with"
    parts = add_command(commands, "collateral", text, _FETCH[:1] + _SHOW[:1]).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    text = "ask AMD, Intel, NVIDIA and clouds for collateral, as far as it is due, and write it into a folder"
    parser = add_command(parts, "fetch", text, _FETCH)
    parser.add_argument(
        "sources",
        metavar="EVIDENCE|ORIGIN",
        nargs="+",
        help="file of `verify --save`, raw evidence, or https://HOST[:PORT] of a service (nothing is verified here)",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, required=True, help="the folder; it will hold this and nothing else"
    )
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, help="where answers are kept (~/.cache/vitrine/collateral)"
    )
    parser.add_argument(
        "--ca",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        help="CAs of attestation keys whose certificates do not say where their issuer's is (some of Azure's)",
    )
    parser.add_argument("--offline", action="store_true", help="ask no vendor; take what is kept")
    add_network(parser)
    parser.add_argument("--json", action="store_true", help="print what was gathered as JSON")
    parser.set_defaults(run=fetch)
    parser = add_command(parts, "show", "print what is in a folder of collateral, and what expires when", _SHOW)
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=show)


def fetch(arguments: argparse.Namespace) -> int:
    """Gather and write; return the exit code."""
    output = arguments.output.resolve()
    try:
        check_replaceable(output)
        roots = replace(shipped_roots(), given=_given(arguments.ca))
        wanted = [one for source in arguments.sources for one in _wanted(source, arguments, roots)]
        collected = collect(once(wanted), _sources(arguments, output, roots))
    except AttestationError as error:
        collected = Collected((), (str(error),), getattr(error, "retry_after", None) or 0)
    except OSError as error:
        raise UsageError(f"--output: cannot write {arguments.output}: {error.strerror}") from error
    if collected.failures:
        return _incomplete(collected, arguments)
    return _written(collected, output, arguments)


def show(arguments: argparse.Namespace) -> int:
    """Print what is in a folder; return the exit code."""
    moment = now()
    if not (arguments.folder / INDEX).is_file():
        raise UsageError(f"{arguments.folder} is {no_folder(arguments.folder)}")
    try:
        found = inventory(arguments.folder)
    except EvidenceError as error:
        raise UsageError(f"{arguments.folder} is no folder of collateral: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {error.filename or arguments.folder}: {error.strerror}") from error
    if arguments.json:
        print_json(found.as_dict(moment))
    else:
        print_inventory(found, moment)
    return INCOMPLETE if found.problems(moment) else 0


def _given(paths: list[Path]) -> tuple[CertificateFields, ...]:
    """Read the CAs that the operator has."""
    found = []
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CERTIFICATE + 1)
            found += [parse_certificate(der, str(path)) for der in parse_pem_or_der(data, str(path))]
        except OSError as error:
            raise UsageError(f"--ca: cannot read {path}: {error.strerror}") from error
        except EvidenceError as error:
            raise UsageError(f"--ca: {error}") from error
    return tuple(found)


def _wanted(source: str, arguments: argparse.Namespace, roots: PinnedRoots) -> tuple[Wanted, ...]:
    """Say what a source needs; a file that is no evidence is the caller's to replace, what is missing is not."""
    data = _asked(source, arguments) if "://" in source else _read(source)
    try:
        return plan(data, roots)
    except EvidenceError as error:
        raise EvidenceError(source, str(error)) from error


def _read(source: str) -> bytes:
    data = read_either(Path(source))
    try:
        Evidence.from_json(data)
    except EvidenceError as error:
        raise UsageError(f"EVIDENCE: {source} is no evidence that this client reads: {error}") from error
    return data


def _asked(source: str, arguments: argparse.Namespace) -> bytes:
    try:
        where = Origin.parse(source)
    except PolicyError as error:
        raise UsageError(str(error)) from error

    def ask() -> bytes:
        with Peer.connect(where, seconds=arguments.timeout) as peer:
            return peer.evidence(secrets.token_bytes(NONCE_SIZE))

    return patiently(ask, wait=arguments.wait, say=progress)


def _sources(arguments: argparse.Namespace, output: Path, roots: PinnedRoots) -> Sources:
    web = Offline() if arguments.offline else Web(seconds=arguments.timeout, say=progress)
    return Sources(web, Cache(arguments.cache or _default_cache()), output, roots, now, progress)


def _default_cache() -> Path:
    """Return the folder that the XDG base directory specification names."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "vitrine" / "collateral"


def _written(collected: Collected, output: Path, arguments: argparse.Namespace) -> int:
    index, files = index_of(tuple(one.kept for one in collected.found), _date_of_nothing(output))
    try:
        changed = write(output, index, files)
    except OSError as error:
        raise UsageError(f"--output: cannot write {arguments.output}: {error.strerror}") from error
    if arguments.json:
        rows = [row for one in collected.found for row in _rows(one.kept.files, one.kept.url, one.supplier)]
        print_json({"version": 1, "verdict": "complete", "output": str(output), "changed": changed, "files": rows})
    else:
        print_collected(collected, output, changed=changed)
    return 0


def _date_of_nothing(output: Path) -> datetime:
    """Return the date of a folder for which no vendor was asked: the one that it has, so that it stays the same."""
    try:
        return read_index(output).gathered_at
    except (OSError, EvidenceError):
        return now()


def _rows(files: dict[str, bytes], source: str, supplier: str) -> list[dict[str, Any]]:
    return [{"path": path, "source": source, "from": supplier} for path in files]


def _incomplete(collected: Collected, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json(
            {
                "version": 1,
                "verdict": "incomplete",
                "output": str(arguments.output),
                "changed": False,
                "failures": list(collected.failures),
                "retry_after": collected.retry_after,
            }
        )
    print_failures(collected)
    return INCOMPLETE
