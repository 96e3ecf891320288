"""Parse the command line, run one command, turn errors into exit codes: this is the process's edge.

0 accepted · 1 refused · 2 usage (a file of the caller's that is not what it should be is one) · 3 no verdict
(unreachable, still booting, or it could not be printed).

Other packages add commands through the entry-point group ``vitrine.commands``: a function that takes the
``add_parser`` action, adds its parser and sets the default ``run`` to a function from arguments to an exit code.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib.metadata import entry_points, version
from pathlib import Path

from client_sdk.cli import ask, collateral, log, observe, proxy, rules, verify
from client_sdk.cli.codes import NO_VERDICT, REFUSED, USAGE
from client_sdk.cli.options import Commands, UsageError
from client_sdk.cli.parser import Parser
from client_sdk.errors import AttestationError, FetchError, printable

GROUP = "vitrine.commands"
MAX_SHOWN = 64
# Whatever else a command writes, it names the file; these without a name are standard output's.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_EPILOG = """exit codes:
  0 accepted    1 refused    2 usage, or a file of yours that is not what it should be
  3 no verdict (unreachable, still booting, or it could not be printed)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. What was printed has left this process by then, or the code says so."""
    if sys.stderr is None:  # `2>&-`: what is said there is lost, and nothing else
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until this process ends
    if sys.stdout is None:  # `>&-`
        sys.stderr.write("vitrine: no verdict: standard output is closed; send it somewhere\n")
        return NO_VERDICT
    try:
        try:
            return _run(argv)
        except KeyboardInterrupt:
            return _say("interrupted: no verdict", NO_VERDICT)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `vitrine … | head`
        _give_up_output()
        sys.stderr.close()
        return NO_VERDICT
    except OSError as error:
        if error.filename is not None:
            what = f"cannot use {printable(str(error.filename))}: {error.strerror}"
            return _say(f"usage: {what}; see to it, and run the same command again", USAGE)
        if error.errno not in _FULL:
            raise
        _give_up_output()
        sys.stderr.write(
            f"vitrine: no verdict: cannot write to standard output: {error.strerror}; free space or send it elsewhere\n"
        )
        return NO_VERDICT


def _run(argv: Sequence[str] | None) -> int:
    parser: argparse.ArgumentParser = Parser(
        prog="vitrine",
        description="Check that a service runs exactly a published image in a sealed machine, then talk to it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vitrine {version('vitrine')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (verify, ask, proxy, observe, collateral, log, rules):
        module.register(commands)
    _register_others(commands)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0], arguments)}")
    try:
        return int(arguments.run(arguments))
    except UsageError as error:
        return _say(f"usage: {error}", USAGE)
    except FetchError as error:
        return _say(f"no verdict: {error}", NO_VERDICT)
    except AttestationError as error:
        return _say(f"refused: {error}", REFUSED)


def _meant(unknown: str, arguments: argparse.Namespace) -> str:
    """Say which option of the command may have been meant."""
    options = [f"--{name.replace('_', '-')}" for name in vars(arguments).keys() - {"needs", "run"}]
    near = get_close_matches(unknown.partition("=")[0][:MAX_SHOWN], sorted(options), n=1, cutoff=0.7)
    return f"; write {near[0]} if that is meant" if near else ""


def _give_up_output() -> None:
    """Close standard output: at exit the interpreter would try once more to write what is left, and say so."""
    with suppress(OSError):
        sys.stdout.close()


def _say(message: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"vitrine: {message}\n")
    return code


def _register_others(commands: Commands) -> None:
    for entry in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        try:
            entry.load()(commands)
        except Exception as error:  # noqa: BLE001 - another package's broken command must not take `verify` away
            _say(f"the command {entry.name!r} of {entry.value} cannot be loaded: {error}", 0)
