"""The commands ``vitrine audit`` and ``vitrine image archive``."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from client_sdk.cli import options
from client_sdk.errors import AttestationError, FetchError
from provisioner.errors import ProvisionError, SpecError, sentences
from provisioner.progress import say
from provisioner.subcommand import added, tell

DIFFERENT, USAGE, NO_VERDICT = 1, 2, 3
_AUDIT = "rebuild a release from its source, compare byte for byte, and hold a running service against it"
_TRUSTED = "--release release.json --publisher publisher.pub"
_EXAMPLES = (
    f"vitrine audit https://llm.example --source . --archive archive {_TRUSTED}",
    f"vitrine audit --source . --archive archive {_TRUSTED} --json",
    f"vitrine audit https://llm.example --source . --archive archive {_TRUSTED} \\",
    "      --line roles/gateway/tasks/configure.yml:3",
)
_CODES = """

The rebuild makes a root file system, so it wants root (sudo -E); it needs about 2 GB, and no network.

exit codes:
  0 identical, and the service (where one is named) is accepted and quotes what the rebuild measures
  1 something differs, or the service is refused
  2 usage, or a file is not what it should be
  3 no verdict: the service cannot be reached, the archive lacks a file, the rebuild failed, or it was interrupted"""
_ARCHIVE = "gather what a rebuild of an image needs, to be published beside its release"
_ARCHIVE_EPILOG = """From the cache of the bake it takes the packages, wheels and models' files that the checkout's
locks and the image's recipe name, each checked by its hash; from IMAGE what is published of it. Nothing is fetched.

example:
  vitrine image archive build/local/image --output build/local/archive

exit codes:
  0 done, or done before
  1 a file cannot be had
  2 usage, or a folder is not what it should be"""


def register(commands: Any) -> None:
    """Add ``audit``; ``commands`` is what argparse's ``add_subparsers`` returns."""
    parser = options.add_command(commands, "audit", _AUDIT, _EXAMPLES)
    parser.epilog = f"{parser.epilog}{_CODES}"
    parser.add_argument(
        "origin", metavar="ORIGIN", nargs="?", help="https://HOST[:PORT] of the service (default: none)"
    )
    parser.add_argument("--source", metavar="DIR", type=Path, required=True, help="the checkout to rebuild from")
    parser.add_argument(
        "--archive", metavar="DIR|URL", required=True, help="the archive beside the release, or where it is published"
    )
    options.add_trust(parser)
    options.add_simulated(parser)
    options.add_network(parser)
    parser.add_argument("--line", metavar="FILE:LINE", help="where the chain begins (default: a rule of the firewall)")
    parser.add_argument("--anyway", action="store_true", help="rebuild although a difference is known before")
    parser.add_argument(
        "--work", metavar="DIR", type=Path, help="where to rebuild (default: build/audit in the checkout)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the rebuilt image there")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(run=run)


def add(group: Any) -> None:
    """Add ``archive`` to ``vitrine image``."""
    parser = added(group, "archive", _ARCHIVE, epilog=_ARCHIVE_EPILOG)
    parser.add_argument("image", metavar="IMAGE", type=Path, help="the folder of an image")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="the archive to make")
    parser.add_argument("--source", metavar="DIR", type=Path, default=Path(), help="the checkout it was baked from (.)")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, help="the cache it was baked with (default: build/cache in the checkout)"
    )
    parser.add_argument(
        "--weights",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="where a model's files are, if no cache has them",
    )
    parser.set_defaults(run=run_archive)


def run(arguments: argparse.Namespace) -> int:
    """Audit; return the exit code."""
    # Every command loads this file; what rebuilds images is loaded when it is asked for.
    from provisioner.audit import running, telling  # noqa: PLC0415

    if os.geteuid():
        raise options.UsageError("the rebuild makes a root file system: run it as root (sudo -E vitrine audit …)")
    try:
        with _ended_in_order():
            found = running.run(arguments, progress=say)
    except SpecError as error:
        raise options.UsageError(sentences(error).strip()) from error
    except (ProvisionError, AttestationError) as error:
        return _without(error, arguments)
    tell(telling.as_dict(found, arguments.origin), telling.lines(found, arguments.origin), as_json=arguments.json)
    return 0 if found.is_identical else DIFFERENT


def _without(error: Exception, arguments: argparse.Namespace) -> int:
    """Say why there is no comparison; return the exit code."""
    from provisioner.audit.telling import Verdict, without  # noqa: PLC0415

    refused = isinstance(error, AttestationError) and not isinstance(error, FetchError)
    verdict = Verdict.REFUSED if refused else Verdict.NONE
    say(f"vitrine: {verdict}: {error}")
    if arguments.json:
        tell(without(verdict, arguments.origin, str(error)), (), as_json=True)
    return DIFFERENT if refused else NO_VERDICT


def run_archive(arguments: argparse.Namespace) -> int:
    """Gather; return the exit code."""
    from provisioner.audit.gathering import gather  # noqa: PLC0415

    pairs = [text.partition("=") for text in arguments.weights]
    if not all(name and folder for name, _, folder in pairs):
        say("vitrine: usage: --weights: expected NAME=DIR, the model's name and the folder with its files")
        return USAGE
    cache = arguments.cache or arguments.source / "build/cache"
    weights = {name: Path(folder) for name, _, folder in pairs}
    try:
        made = gather(arguments.image, arguments.source, cache, arguments.output, weights=weights, progress=say)
    except SpecError as error:
        say(f"vitrine: usage:{sentences(error)}")
        return USAGE
    except ProvisionError as error:
        say(f"vitrine: {error}")
        return DIFFERENT
    say(f"{made.folder}: what manifest {made.manifest_sha256.hex()} was made of; publish it beside the release")
    return 0


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end it as Ctrl-C does: so that what was begun is cleaned away."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
