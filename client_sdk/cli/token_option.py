"""The access token that a command is given: a file, or a variable of the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

from client_sdk.cli.options import UsageError

VARIABLE = "VITRINE_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_MAX_TOKEN = 8192


def read_token(path: Path | None) -> str | None:
    """Read the token, which leaves this machine in verified connections alone.

    Raises:
        UsageError: it is none; the message does not repeat it.
    """
    where = VARIABLE if path is None else f"--token-file: {path}"
    try:
        found = os.environ.get(VARIABLE, "") if path is None else path.read_bytes()[:_MAX_TOKEN].decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{where} holds no token: {getattr(error, 'strerror', None) or 'not ASCII'}") from error
    if not found.strip() and path is None:
        return None
    if not _TOKEN.fullmatch(found.strip()):
        raise UsageError(f"{where} holds no token: expected one word, as `vitrine token issue` prints it")
    return found.strip()
