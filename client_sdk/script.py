"""The program ``vitrine`` as pip installs it: says what to install where the libraries of the command are missing.

It names no package of an index: there, ``vitrine`` is somebody else's. Verifying in a program of one's own needs none
of them; the command prints with ``rich`` and asks with ``openai``.
"""

from __future__ import annotations

import sys
from importlib import import_module

USAGE, NO_VERDICT = 2, 3
OPTIONAL = frozenset({"rich", "openai", "httpx2", "httpcore2"})
"""What the extra ``client`` brings."""


def main() -> int:
    """Run the command; return its exit code. Loading it takes a moment, in which it may be interrupted as well."""
    try:
        return _main()
    except KeyboardInterrupt:
        sys.stderr.write("vitrine: interrupted: no verdict\n")
        return NO_VERDICT


def _main() -> int:
    try:
        command = import_module("client_sdk.cli.command")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OPTIONAL:
            raise
        told = "pip install '.[client]', in this project's checkout"
        sys.stderr.write(f"vitrine: usage: {missing} is not installed: {told}\n")
        return USAGE
    return int(command.main())
