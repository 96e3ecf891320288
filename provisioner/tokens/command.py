"""The command ``vitrine token``, as the entry-point group ``vitrine.commands`` finds it.

Every ``vitrine`` command loads this file, so it is small: what does the work is loaded when a token is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from client_sdk.access_token import MAX_BUDGET, MAX_RATE, MAX_SECONDS
from provisioner.subcommand import added

MAX_HOURS = MAX_SECONDS // 3600
DEFAULT_HOURS, DEFAULT_RATE, DEFAULT_TOKENS = 24, 60, 1_000_000
_HELP = "issue the tokens that a service asks its callers for"
_EPILOG = """examples:
  vitrine token keygen issuer.key
  vitrine token issue --key issuer.key --service vitrine-prod --model llama > alice.token
  vitrine token renew --key issuer.key alice.token > alice.new
  vitrine token show alice.token

A token is a secret: whoever has it may ask until it expires. It goes to standard output and nowhere else.

exit codes:
  0 done    2 usage, or a file that is not what it should be    3 it could not be printed
"""


def register(commands: Any) -> None:
    """Add the command; ``commands`` is what argparse's ``add_subparsers`` returns."""
    parser = added(commands, "token", _HELP, epilog=_EPILOG)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    keygen = added(actions, "keygen", "make the issuer's key; its public half goes into the inventory")
    keygen.add_argument("file", metavar="KEY", type=Path, help="where the private key goes; the public one lies beside")
    issue = added(actions, "issue", "sign a token for somebody new")
    _signing(issue)
    issue.add_argument("--service", required=True, help="the service that it is for, as the release names it")
    issue.add_argument("--model", metavar="NAME", nargs="+", action="extend", required=True, help="what it may use")
    issue.add_argument(
        "--rate", metavar="N", type=_whole(1, MAX_RATE), default=DEFAULT_RATE, help=f"a minute ({DEFAULT_RATE})"
    )
    issue.add_argument(
        "--tokens",
        metavar="N",
        type=_whole(1, MAX_BUDGET),
        default=DEFAULT_TOKENS,
        help=f"of the model, in all ({DEFAULT_TOKENS})",
    )
    issue.add_argument("--subject", metavar="ID", default="", help="of an earlier token, where it is for the same one")
    renew = added(actions, "renew", "sign a token like another one, for a time and with a budget of its own")
    _signing(renew)
    renew.add_argument("file", metavar="FILE", help="the other one, which may have expired; - is standard input")
    show = added(actions, "show", "print what a token says; that proves nothing, nor does it look at the signature")
    show.add_argument("file", metavar="FILE", nargs="?", default="-", help="the token; - (the default): standard input")
    for action, name in ((keygen, "keygen"), (issue, "issue"), (renew, "renew"), (show, "show")):
        action.add_argument("--json", action="store_true", help="print one line of JSON")
        action.set_defaults(run=_run, action=name)


def _signing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="KEY", type=Path, required=True, help="the issuer's private key")
    parser.add_argument(
        "--hours",
        metavar="N",
        type=_whole(1, MAX_HOURS),
        default=DEFAULT_HOURS,
        help=f"how long it is valid ({DEFAULT_HOURS}; at most {MAX_HOURS})",
    )


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 13 and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {low} to {high}")
        return int(text)

    return read


def _run(arguments: argparse.Namespace) -> int:
    return int(import_module("provisioner.tokens.run").run(arguments))
