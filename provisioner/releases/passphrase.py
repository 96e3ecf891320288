"""Passphrases of holders' keys: typed, or in a file of the holder's own; never in an argument or the environment."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path

from provisioner.errors import Fault, SpecError
from provisioner.keys import Ask, require_private
from provisioner.releases.files import read_file

MAX_PASSPHRASE = 1024
MIN_PASSPHRASE = 12
"""Below it, who has the file finds the passphrase in no long time."""


def asking(file: Path | None) -> Ask:
    """Return what finds out a key's passphrase: from a file where one is given, else from whoever sits there."""
    return _typed if file is None else lambda _: _in_file(file)


def choose(key: Path, file: Path | None) -> bytes:
    """Return the passphrase of a new key; it is typed twice where it is typed.

    Raises:
        SpecError: it is too short, or typed in two ways.
    """
    chosen = asking(file)(key)
    if len(chosen) < MIN_PASSPHRASE:
        wanted = f"a passphrase of at least {MIN_PASSPHRASE} characters"
        raise SpecError((Fault(str(key), wanted, f"one of {len(chosen)}"),))
    if file is None and getpass("again: ").encode() != chosen:
        raise SpecError((Fault(str(key), "the same passphrase twice", "another one"),))
    return chosen


def _typed(key: Path) -> bytes:
    if not sys.stdin.isatty():
        told = "its passphrase, in --passphrase-file FILE where nobody can type it"
        raise SpecError((Fault(str(key), told, "no terminal"),))
    return getpass(f"passphrase of {key}: ").encode()


def _in_file(path: Path) -> bytes:
    data = read_file(path, "a file with the passphrase, of mode 0600")
    require_private(path, "choose another passphrase")
    return data[:MAX_PASSPHRASE].rstrip(b"\r\n")
