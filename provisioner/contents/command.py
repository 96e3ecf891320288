"""The commands ``vitrine image list``, ``cat``, ``show``, ``units``, ``firewall`` and ``packages``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError, ProvisionError
from provisioner.progress import say
from provisioner.subcommand import added

WRONG, USAGE = 1, 2
_ABOUT = """examples:
{examples}

IMAGE is the folder of a baked image. PATH is in the root file system; root:PATH, model:PATH, initrd:PATH and uki:PATH
name the part. Nothing is mounted and no rights are needed. Of root and model disk every block that is read is checked
against the root hash in the UKI.

exit codes:
  0 done
  1 it is not there, or the image is not what its own UKI names
  2 usage, or there is no image
"""


def add(group: Any) -> None:
    """Add the commands to ``vitrine image``."""
    made = _add(
        group, "list", "list the files of an image", ("list build/local/image /etc", "list build/local/image initrd:/")
    )
    made.add_argument("path", metavar="PATH", nargs="?", default="/", help="this file, or all below this folder (all)")
    made.add_argument("--digests", action="store_true", help="read every file, and print its SHA-256 (seconds)")
    made.add_argument("--json", action="store_true", help="print one line of JSON")
    made = _add(group, "cat", "write the contents of a file to standard output", ("cat build/local/image /etc/passwd",))
    made.add_argument("path", metavar="PATH", help="the file")
    made = _add(
        group,
        "show",
        "say what a file is, and how one gets from it to the digest that the TPM's quote commits to",
        ("show build/local/image /usr/lib/vitrine/firewall.nft", "show build/local/image uki:/.cmdline --json"),
    )
    made.add_argument("path", metavar="PATH", help="the file")
    made.add_argument("--json", action="store_true", help="print one line of JSON")
    made = _add(
        group,
        "units",
        "list the systemd units of an image and what starts them, or print one with all that is laid over it",
        ("units build/local/image", "units build/local/image vitrine-firewall.service"),
    )
    made.add_argument("unit", metavar="UNIT", nargs="?", help="print this one")
    made.add_argument("--json", action="store_true", help="print one line of JSON")
    made = _add(group, "firewall", "print the firewall's rules and what loads them", ("firewall build/local/image",))
    made = _add(
        group,
        "packages",
        "list the packages of an image by name, version and digest",
        ("packages build/local/image", "packages build/local/image nftables --archive build/local/archive"),
    )
    made.add_argument("package", metavar="PACKAGE", nargs="?", help="say all about this one")
    made.add_argument(
        "--archive",
        metavar="DIR",
        type=Path,
        help="with PACKAGE: which of its files are in the image, as the archive has it",
    )
    made.add_argument("--json", action="store_true", help="print one line of JSON")


def _add(group: Any, name: str, help_text: str, examples: tuple[str, ...]) -> argparse.ArgumentParser:
    shown = "\n".join(f"  vitrine image {line}" for line in examples)
    made = added(group, name, help_text, epilog=_ABOUT.format(examples=shown))
    made.add_argument("image", metavar="IMAGE", type=Path, help="the folder of an image")
    made.set_defaults(run=run)
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands; return the exit code."""
    # Every command loads this file; what reads images is loaded when it is asked for.
    from provisioner.contents import telling  # noqa: PLC0415
    from provisioner.contents.image import open_contents, split  # noqa: PLC0415

    if getattr(arguments, "archive", None) and not arguments.package:
        say("vitrine: usage: --archive is about one PACKAGE: name it")
        return USAGE
    try:
        contents = open_contents(arguments.image)
        where = split(getattr(arguments, "path", "/"))
    except ProvisionError as error:
        say(f"vitrine: usage: {error}")
        return USAGE
    try:
        told = telling.TOLD[arguments.what](contents, where, arguments)
        _write(told, as_json=getattr(arguments, "json", False))
    except ProvisionError as error:
        say(f"vitrine: {error}")
        return WRONG
    return 0


def _write(told: Any, *, as_json: bool) -> None:
    """Write what was found; a reader that has seen enough, such as ``head``, ends it quietly."""
    try:
        if isinstance(told.data, bytes):
            sys.stdout.buffer.write(told.data)
        elif as_json:
            sys.stdout.buffer.write(canonical_json(told.data) + b"\n")
        else:
            sys.stdout.write("".join(f"{line}\n" for line in told.lines))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise BakeError(f"standard output: {error.strerror}") from error
