"""A command's actions, as every command of the provisioner shows them."""

from __future__ import annotations

import argparse
from typing import Any


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
