"""A command's actions and what they answer, as every command of the provisioner shows them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from client_sdk.encoding import canonical_json


def added(actions: Any, name: str, help_text: str, *, epilog: str | None = None) -> argparse.ArgumentParser:
    """Add one; ``actions`` is what argparse's ``add_subparsers`` returns, ``epilog`` is shown as it is written."""
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def tell(value: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print an answer on standard output: one line of canonical JSON for programs, or lines for people."""
    if as_json:
        sys.stdout.buffer.write(canonical_json(value) + b"\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
