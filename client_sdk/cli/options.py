"""Options that commands share, and what they mean as values. Nothing that looks like a trust anchor has a default."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

from client_sdk.cli.pins import add_publisher, memory, publisher
from client_sdk.collateral import Collateral, load_collateral
from client_sdk.errors import EvidenceError, FetchError, PolicyError
from client_sdk.fields import instant
from client_sdk.origin import Origin
from client_sdk.page.address import Address
from client_sdk.policy import Policy, Production, SimulatedCloud, SimulatedPlatform, load_policy
from client_sdk.publisher import Publisher
from client_sdk.releases import Opened, open_releases
from client_sdk.transparency.client.memory import Memory

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
PAUSE = 2.0
Result = TypeVar("Result")
Say = Callable[[str], None]


class UsageError(Exception):
    """The command line asks for something that cannot be."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the caller trusts: all of it comes from the command line."""

    releases: tuple[Path, ...]
    publisher: Publisher
    policy: Policy
    collateral: Collateral | None
    memory: Memory | None = None


def add_command(
    commands: Commands, name: str, help_text: str, examples: Sequence[str], *, after: str = ""
) -> argparse.ArgumentParser:
    """Add a command whose help ends with examples, and with what is to be said after them."""
    shown = "examples:\n" + "".join(f"  {line}\n" for line in examples)
    return commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=f"{shown}\n{after}" if after else shown,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_origin(parser: argparse.ArgumentParser) -> None:
    """Add where the service is."""
    parser.add_argument("origin", metavar="ORIGIN", help="https://HOST[:PORT] of the service")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add who is trusted to publish."""
    group = parser.add_argument_group("trust (never read from the service, the release or the working folder)")
    group.add_argument(
        "--release",
        metavar="FILE",
        nargs="+",
        action="extend",
        required=True,
        type=Path,
        help="signed release, or the bundle around it; during a rollout give both",
    )
    add_publisher(group)
    group.add_argument(
        "--policy", metavar="FILE", type=Path, help="what to accept (TOML, see docs/policy.md; default: production's)"
    )
    add_collateral(group)


def add_collateral(group: argparse._ActionsContainer) -> None:
    """Add where the makers' statements about clouds' hardware lie."""
    group.add_argument(
        "--collateral",
        metavar="DIR",
        type=Path,
        help="folder with certificates, revocation lists and statements of hardware makers, gathered beforehand",
    )


def add_simulated(parser: argparse.ArgumentParser) -> None:
    """Add the ways to take a simulated platform; each names the test CA that is believed."""
    parser.add_argument(
        "--simulated",
        metavar="TPM_CA.pem",
        type=Path,
        help="take a development VM whose software TPM this CA certified; proves nothing about its host",
    )
    parser.add_argument(
        "--simulated-cloud",
        metavar="AK_CA.pem",
        type=Path,
        help="take a VM of a pretended cloud whose attestation key this test CA certified; proves nothing about its "
        "host, nor that a cloud runs it",
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add time limits."""
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=60.0, help="limit of one try (60)")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=_seconds, default=0.0, help="go on trying while the service boots (0)"
    )


def origin(arguments: argparse.Namespace) -> Origin:
    """Return the origin.

    Raises:
        UsageError: it is not one.
    """
    return read_origin(arguments.origin)


def read_origin(text: str) -> Origin:
    """Read an origin; see :func:`origin`."""
    try:
        return Origin.parse(text)
    except PolicyError as error:
        raise UsageError(f"{error}{_of_a_file(text)}") from error


def _of_a_file(name: str) -> str:
    """Say what to do with a file of evidence in the place of an origin."""
    with suppress(OSError):
        if Path(name).is_file():
            return "; this is a file: of the commands, `vitrine verify` judges evidence in files, by --evidence FILE"
    return ""


def policy(arguments: argparse.Namespace) -> Policy:
    """Return the policy: production, or that of ``--policy``, or the one of a simulated platform or cloud.

    Raises:
        UsageError: the CA or the policy cannot be read, or more than one is given.
    """
    file, simulated, cloud = getattr(arguments, "policy", None), arguments.simulated, arguments.simulated_cloud
    if len([one for one in (file, simulated, cloud) if one is not None]) > 1:
        message = "--policy, --simulated and --simulated-cloud exclude each other"
        raise UsageError(f"{message}: a simulated platform is no production one, and no cloud")
    try:
        if cloud is not None:
            return SimulatedCloud(ak_ca=cloud)
        if simulated is not None:
            return SimulatedPlatform(tpm_ca=simulated)
    except EvidenceError as error:
        raise UsageError(f"{'--simulated' if cloud is None else '--simulated-cloud'}: {error}") from error
    return _from_file(file) if file is not None else Production()


def _from_file(path: Path) -> Policy:
    try:
        return load_policy(path)
    except PolicyError as error:
        raise UsageError("--policy: " + "\n  ".join(map(str, error.failures))) from error


def collateral(arguments: argparse.Namespace) -> Collateral | None:
    """Read the folder of collateral, where one is given.

    Raises:
        UsageError: it is not one.
    """
    if arguments.collateral is None:
        return None
    try:
        return load_collateral(arguments.collateral)
    except EvidenceError as error:
        raise UsageError(f"--collateral: {error}") from error


def trust(arguments: argparse.Namespace) -> Trust:
    """Read whom the caller trusts.

    Raises:
        UsageError: a file cannot be read, or is not a key; or more keys must have signed than there are.
    """
    keys, threshold = len(arguments.publisher), arguments.threshold
    if not 1 <= threshold <= keys:
        what = f"--threshold: expected 1 to {keys}, as many keys as --publisher names, got {threshold}"
        raise UsageError(f"{what}; name more keys, or another threshold")
    if arguments.state and getattr(arguments, "evidence", None):
        raise UsageError("--state and --evidence exclude each other: what is remembered is about now")
    try:
        pinned = publisher(arguments)
    except EvidenceError as error:
        raise UsageError(str(error)) from error
    return Trust(tuple(arguments.release), pinned, policy(arguments), collateral(arguments), memory(arguments))


def opened(trusted: Trust, *, at_instant: datetime, remember: bool = True) -> Opened:
    """Open the releases.

    Raises:
        UsageError: a file cannot be read, or is no release.
        VerificationError: R1, R2, R3, R5 or R6.
    """
    try:
        return open_releases(
            trusted.releases, trusted.publisher, now=at_instant, memory=trusted.memory, remember=remember
        )
    except EvidenceError as error:
        option = "--state" if error.where.startswith("memory ") else "--release"
        raise UsageError(f"{option}: {error}") from error


def patiently(attempt: Callable[[], Result], *, wait: float, say: Say) -> Result:
    """Call until it does not raise :class:`FetchError`, for at most ``wait`` seconds.

    Raises:
        FetchError: the last one.
    """
    deadline, said = time.monotonic() + wait, ""
    while True:
        try:
            return attempt()
        except FetchError as error:
            pause = min(error.retry_after or PAUSE, 10.0)
            if time.monotonic() + pause > deadline:
                raise
            if str(error) != said:
                said = str(error)
                say(f"waiting: {said}")
            time.sleep(pause)


def at(text: str) -> datetime:
    """Read an instant, for argparse."""
    try:
        return instant(text, "INSTANT")
    except EvidenceError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an instant like 2026-01-31T12:00:00Z") from error


def log_page(text: str) -> Address:
    """Read the address of a log's pages, for argparse."""
    try:
        return Address(text)
    except EvidenceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def now() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from error
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError("expected 0 to 86400 seconds")
    return value
