"""The program ``vitrine`` as pip installs it: says what to install where the libraries of the command are missing.

Verifying in a program of one's own needs none of them; the command prints with ``rich`` and asks with ``openai``.
"""

from __future__ import annotations

import sys
from importlib import import_module

USAGE = 2
OPTIONAL = frozenset({"rich", "openai", "httpx2", "httpcore2"})
"""What the extra ``client`` brings."""


def main() -> int:
    """Run the command; return its exit code."""
    try:
        command = import_module("client_sdk.cli.command")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL:
            raise
        sys.stderr.write(f"vitrine: usage: {error.name} is not installed: pip install 'vitrine[client]'\n")
        return USAGE
    return int(command.main())
