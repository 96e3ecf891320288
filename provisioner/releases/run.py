"""One run of ``vitrine release``: an action, and errors as exit codes. What it tells goes to standard output."""

from __future__ import annotations

import argparse

from client_sdk.errors import (
    EvidenceError,
    FetchError,
    LogBusyError,
    LogError,
    LogStorageError,
    UnwitnessedError,
    VerificationError,
    printable,
)
from provisioner.errors import BusyError, ProvisionError, ReleaseError, sentences
from provisioner.progress import say
from provisioner.releases.actions import ACTIONS
from provisioner.releases.files import in_words
from provisioner.subcommand import tell

REFUSED, USAGE, NOT_NOW = 1, 2, 3
_LATER = (BusyError, LogBusyError, LogStorageError, UnwitnessedError, FetchError)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; return the exit code that the command's help explains."""
    try:
        value, lines = ACTIONS[arguments.action](arguments)
    except _LATER as error:
        return _end(f"not done:{_told(error)}; clients are given what they were: run it again", NOT_NOW)
    except (ReleaseError, VerificationError, LogError) as error:
        return _end(f"refused:{_told(error)}", REFUSED)
    except (ProvisionError, EvidenceError) as error:
        return _end(f"usage:{_told(error)}", USAGE)
    except OSError as error:
        return _end(f"usage: {in_words(error)}", USAGE)
    tell(value, map(printable, lines), as_json=arguments.json)
    return 0


def _end(message: str, code: int) -> int:
    """Say why nothing was done; each line of it printable, for it may quote a file of somebody else's."""
    say("\n".join(map(printable, f"vitrine: {message}".splitlines())))
    return code


def _told(error: Exception) -> str:
    return sentences(error) if isinstance(error, ProvisionError) else f" {error}"
