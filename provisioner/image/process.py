"""Running other programs during a bake: one fixed environment, typed errors, nothing inherited by accident."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from provisioner.errors import BakeError

UMASK = 0o022
# Many times what the slowest step takes on a loaded machine; a tool that hangs must not hang us for ever.
PATIENCE = 1800.0
_TAIL_LINES = 8
_NO_SPACE = "No space left on device"

# Umask, time zone, locale and the caller's own variables must not reach the image.
_FIXED = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
# What a site needs to reach its mirrors is the host's to say, and only programs that download get it.
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@contextmanager
def fixed_umask() -> Iterator[None]:
    """Let what this process itself creates have the same permissions whatever the caller's umask is."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def proxy_environment() -> dict[str, str]:
    """Return the proxy variables of the caller, for the steps that download."""
    return {name: os.environ[name] for name in _PROXY_VARIABLES if name in os.environ}


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    seconds: float = PATIENCE,
) -> bytes:
    """Run a program to its end and return its standard output.

    Raises:
        BakeError: the program fails, is missing or does not end, or the disk is full; it names ``what``, and the
            program's last words.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            env={**_FIXED, **(env or {})},
            cwd=cwd,
            umask=UMASK,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BakeError(failure(what, f"no end after {seconds:.0f} seconds", error.stderr or b"")) from error
    except FileNotFoundError as error:
        raise BakeError(f"{what}: {words[0]} is not installed; run `make setup`") from error
    except OSError as error:
        raise BakeError(f"{what}: cannot run {words[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise BakeError(failure(what, f"status {done.returncode}", done.stderr or done.stdout))
    return done.stdout


def failure(what: str, reason: str, output: bytes) -> str:
    """Put a failed program's last lines into one message that says what to do where that is known."""
    text = output.decode("utf-8", "replace")
    if _NO_SPACE in text:
        return f"{what}: the disk is full; free some space (build/cache may be deleted) and run it again"
    tail = " | ".join(line.strip() for line in text.splitlines()[-_TAIL_LINES:] if line.strip())
    return f"{what}: failed with {reason}: {tail or 'no message'}"
