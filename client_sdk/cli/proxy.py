"""`vitrine proxy`: a verified service for programs in any language, as OpenAI's interface on this machine."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from client_sdk.cli.options import Commands, UsageError, add_command, add_network, add_simulated, add_trust

_EXAMPLES = (
    "vitrine proxy https://llm.example --release release.json --publisher publisher.pub --token-file mine.token",
    "vitrine proxy https://127.0.0.1:8443 --port 8080 \\",
    "      --release release.json --publisher publisher.pub --simulated tpm-ca.pem",
)


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "proxy", "verify services, then serve OpenAI's interface here", _EXAMPLES)
    parser.add_argument("origins", metavar="ORIGIN", nargs="+", help="https://HOST[:PORT] of each service")
    add_trust(parser)
    add_simulated(parser)
    add_network(parser)
    group = parser.add_argument_group("where it listens (default: a UNIX socket that you alone can open)")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--socket", metavar="FILE", type=Path, help="the UNIX socket (default: in your run-time folder)")
    where.add_argument("--port", metavar="N", type=_port, help="a TCP port of 127.0.0.1; callers need the secret")
    group.add_argument(
        "--secret-file",
        metavar="FILE",
        type=Path,
        help="with --port: holds what callers send as their API key; made where there is none (default: beside the "
        "socket)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        help="the operators' tokens: one for all services, or one for each in their order (default: VITRINE_TOKEN)",
    )
    parser.add_argument("--max-age", metavar="SECONDS", type=float, help="how long a verification holds (an hour)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load what serving needs, and serve; return the exit code.

    Raises:
        UsageError: what serves is not installed.
    """
    try:
        work = import_module("client_sdk.cli.proxying")
    except ModuleNotFoundError as error:
        if error.name != "uvicorn":
            raise
        raise UsageError("the proxy is not installed: pip install '.[proxy]', in this project's checkout") from error
    return int(work.run(arguments))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to 65535")
    return int(text)
