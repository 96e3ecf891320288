"""`vitrine ask`: verify a service, then ask its model one question; the answer streams to standard output."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from client_sdk.cli.options import (
    Commands,
    add_command,
    add_network,
    add_origin,
    add_simulated,
    add_trust,
)

_EXAMPLES = (
    'vitrine ask https://127.0.0.1:8443 "What is the capital of France?" \\',
    "      --release release.json --publisher publisher.pub --simulated tpm-ca.pem --max-tokens 20",
    'vitrine ask https://llm.example "Hello" --release release.json --publisher publisher.pub --token-file mine.token',
)


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "ask", "verify a service, then ask it a question", _EXAMPLES)
    add_origin(parser)
    parser.add_argument("question", metavar="QUESTION", help="what to ask; it leaves only after verification")
    add_trust(parser)
    add_simulated(parser)
    add_network(parser)
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="the operator's token, where the service asks for one (default: what VITRINE_TOKEN holds)",
    )
    parser.add_argument("--json", action="store_true", help="print report and answer as JSON")
    parser.add_argument("--model", metavar="NAME", help="which model (default: the first that the service has)")
    parser.add_argument("--system", metavar="TEXT", help="a system message before the question")
    parser.add_argument("--max-tokens", metavar="N", type=int, default=256, help="length of the answer (256)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load what asking needs, and ask; return the exit code."""
    return int(import_module("client_sdk.cli.asking").run(arguments))
