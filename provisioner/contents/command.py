"""The commands ``vitrine image list``, ``cat``, ``show``, ``units``, ``firewall`` and ``packages``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from provisioner.errors import BakeError, Fault, MeasureError, NotInImageError, ProvisionError, SpecError, sentences
from provisioner.progress import say
from provisioner.subcommand import added, tell

WRONG, USAGE = 1, 2
WHICH = "name the folder of a baked image, or bake it anew (`make bake`)"
_IMAGE = """IMAGE is the folder of a baked image: build/NAME/image of a deployment, or an archive's image/. Nothing is
mounted and no rights are needed. Of root and model disk every block that is read is checked against the root hash
in the UKI."""
_PATH = """PATH is in the root file system; root:PATH, model:PATH, initrd:PATH and uki:PATH name the part."""
_CODES = """exit codes:
  0 done
  1 it is not there, or the image is not what its own UKI names
  2 usage, or there is no image"""


def add(group: Any) -> None:
    """Add the commands to ``vitrine image``."""
    _add_files(group)
    made = _add(
        group,
        "units",
        "list the systemd units of an image and what starts them, or print one with all that is laid over it",
        "It reads the folders of units in the root file system. A unit is started, masked, or static (not started).",
        "units build/local/image vitrine-firewall.service",
    )
    made.add_argument("unit", metavar="UNIT", nargs="?", help="print this one")
    made.add_argument("--json", action="store_true", help="print one line of JSON")
    _add(
        group,
        "firewall",
        "print the firewall's rules and what loads them",
        "It reads every file of rules (.nft) in the root file system, and which units name it.",
        "firewall build/local/image",
    )
    made = _add(
        group,
        "packages",
        "list the packages of an image by name, version and digest, with where their files are",
        "Names, versions and digests are those of manifest.json, which a release names; sources and places those of\n"
        "sbom.json, which the manifest names. The last lines say how many there are of which kind.",
        "packages build/local/image nftables --archive build/local/archive",
    )
    made.add_argument("package", metavar="PACKAGE", nargs="?", help="say all about this one")
    told = "with PACKAGE: say of each of its files whether it is in the image, by the package in this archive"
    made.add_argument("--archive", metavar="DIR", type=Path, help=f"{told} (`vitrine image archive` makes one)")
    made.add_argument("--json", action="store_true", help="print one line of JSON")


def _add_files(group: Any) -> None:
    made = _add(
        group,
        "list",
        "list the files of an image: mode, owner, group, size, path, and where a link leads",
        f"It reads the file systems in boot.raw and the model disk, or the initrd and sections in uki.efi.\n{_PATH}",
        "list build/local/image initrd:/ --digests",
    )
    made.add_argument("path", metavar="PATH", nargs="?", default="/", help="this file, or all below this folder (all)")
    made.add_argument("--digests", action="store_true", help="read every file, and print its SHA-256 (seconds)")
    made.add_argument("--json", action="store_true", help="print one line of JSON")
    made = _add(
        group,
        "cat",
        "write the contents of a file of an image to standard output",
        f"It reads the file as it is in the image; a link in its place is not followed.\n{_PATH}",
        "cat build/local/image /etc/passwd",
    )
    made.add_argument("path", metavar="PATH", help="the file")
    made = _add(
        group,
        "show",
        "say what a file is, and how one gets from it to the digest that the TPM's quote commits to",
        "Each step is computed from the image: the file's block, hash tree, root hash, command line, UKI. The PCRs\n"
        "are what a boot of it is predicted to measure; what a machine quotes, `vitrine verify` and `audit` say.\n"
        f"{_PATH}",
        "show build/local/image /usr/lib/vitrine/firewall.nft",
    )
    made.add_argument("path", metavar="PATH", help="the file")
    made.add_argument("--json", action="store_true", help="print one line of JSON")


def _add(group: Any, name: str, help_text: str, whence: str, example: str) -> argparse.ArgumentParser:
    """Add a command that says in its help what it shows, from where, and one example."""
    epilog = f"{whence}\n\n{_IMAGE}\n\nexample:\n  vitrine image {example}\n\n{_CODES}"
    made = added(group, name, help_text, epilog=epilog)
    made.add_argument("image", metavar="IMAGE", type=Path, help="the folder of an image")
    made.set_defaults(run=run)
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands; return the exit code."""
    # Every command loads this file; what reads images is loaded when it is asked for.
    from provisioner.contents import telling  # noqa: PLC0415
    from provisioner.contents.entry import PartName  # noqa: PLC0415
    from provisioner.contents.image import open_contents, split  # noqa: PLC0415

    try:
        contents = open_contents(arguments.image)
    except (BakeError, MeasureError) as error:
        say(f"vitrine: usage: {arguments.image} is not the folder of an image: {error}; {WHICH}")
        return USAGE
    try:
        _require_archive(arguments)
        where = split(getattr(arguments, "path", "/"))
        told = telling.ACTIONS[arguments.what](contents, where, arguments)
        if told.pieces is not None:
            sys.stdout.buffer.writelines(told.pieces)
        else:
            tell(told.data, told.lines, as_json=getattr(arguments, "json", False))
    except SpecError as error:
        say(f"vitrine: usage:{sentences(error)}")
        return USAGE
    except NotInImageError as error:
        listing = arguments.what if arguments.what in {"units", "packages"} else "list"
        part = "" if where[0] is PartName.ROOT else f" {where[0]}:/"
        say(f"vitrine: {error}; what there is: vitrine image {listing} {arguments.image}{part}")
        return WRONG
    except ProvisionError as error:
        say(f"vitrine: {error}; {arguments.image} is not whole, or was changed: get it anew, or bake it (`make bake`)")
        return WRONG
    return 0


def _require_archive(arguments: argparse.Namespace) -> None:
    """Refuse an archive that is none, or that no package is named for.

    Raises:
        SpecError: so it is.
    """
    archive = getattr(arguments, "archive", None)
    if archive is None:
        return
    if not arguments.package:
        raise SpecError((Fault("PACKAGE", "the one that --archive is about, before it", "none"),))
    if not (archive / "debs").is_dir():
        make = f"`vitrine image archive {arguments.image} --output {archive}`"
        raise SpecError(
            (Fault("--archive", f"an archive of a release: make one with {make}", f"{archive}, without debs/"),)
        )
