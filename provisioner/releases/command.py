"""The command ``vitrine release``, as the entry-point group ``vitrine.commands`` finds it.

Every ``vitrine`` command loads this file, so it is small: what does the work is loaded when a release is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from client_sdk.errors import EvidenceError
from client_sdk.fields import instant
from provisioner.subcommand import added

DEFAULT_DAYS, MAX_DAYS = 90, 400
_HELP = "make, sign, publish and revoke releases; show them, and what changed between two"
_EPILOG = """a release by two of three holders, each on a machine of his own:
  vitrine release create build/prod --published site --publisher *.pub --threshold 2 --output next.json
  vitrine release sign next.json --key alice.key --publisher *.pub --threshold 2
  vitrine release sign next.json --key bob.key --publisher *.pub --threshold 2
  vitrine release publish next.json --source build/prod --archive archive --published site \\
      --publisher *.pub --threshold 2

docs/releasing.md explains it from the first key to a rotation.
"""
_CODES = """exit codes:
  0 done    1 it may not be signed or published as it is    2 usage, or a file that is not what it should be
  3 not now: the log cannot be written, or its witnesses did not sign; the same command goes on
"""
_KEYS = "--publisher *.pub --threshold 2"


def register(commands: Any) -> None:
    """Add the command; ``commands`` is what argparse's ``add_subparsers`` returns."""
    parser = added(commands, "release", _HELP, epilog=f"{_EPILOG}\n{_CODES}")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, (help_text, options, example) in _ACTIONS.items():
        action = added(actions, name, help_text, epilog=f"example:\n  vitrine release {name} {example}\n\n{_CODES}")
        options(action)
        action.add_argument("--json", action="store_true", help="print one line of JSON")
        action.set_defaults(run=_run, action=name)


def _keygen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="KEY", type=Path, help="where the private key goes; the public one lies beside")
    parser.add_argument("--encrypt", action="store_true", help="ask for a passphrase, and encrypt the key with it")
    _passphrase(parser)


def _create(parser: argparse.ArgumentParser) -> None:
    told = "folder of a deployment that was accepted (build/NAME), or of a baked image; several: one image on each"
    parser.add_argument("sources", metavar="SOURCE", nargs="+", type=Path, help=told)
    parser.add_argument(
        "--revokes", metavar="N", nargs="+", action="extend", type=_number, default=[], help="releases that it revokes"
    )
    _terms(parser)


def _revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("numbers", metavar="N", nargs="+", type=_number, help="numbers of published releases")
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        dest="sources",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        help="what takes their place, as for `create`; needed where the newest release is among them",
    )
    _terms(parser)


def _sign(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="what `create`, `revoke` or `rotate` wrote")
    parser.add_argument("--key", metavar="KEY", type=Path, required=True, help="your private key (PEM, mode 0600)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="where the signed file goes (the same file)")
    _passphrase(parser)
    _trust(parser, required=True)
    _published(parser, required=False)


def _publish(parser: argparse.ArgumentParser) -> None:
    told = "the signed file; several where the holders signed copies of one"
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help=told)
    parser.add_argument(
        "--source", metavar="DIR", type=Path, help="folder with the manifest: of the deployment, or of the image"
    )
    parser.add_argument(
        "--archive", metavar="DIR", type=Path, help="what `vitrine image archive` made, for auditors to rebuild from"
    )
    parser.add_argument("--log", metavar="DIR", type=Path, help="the publisher's log, as `vitrine log init` made it")
    _trust(parser, required=True)
    _published(parser, required=True)


def _rotate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--new",
        metavar="KEY.pub",
        nargs="+",
        action="extend",
        type=Path,
        required=True,
        help="all the keys from now on",
    )
    parser.add_argument(
        "--new-threshold", metavar="N", type=_number, required=True, help="how many of them must sign from now on"
    )
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="where it goes, to be signed")
    _trust(parser, required=True)
    _published(parser, required=True)


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a release or a rotation, signed or not; or a folder's")
    parser.add_argument("--manifest", metavar="FILE", type=Path, help="its manifest (found beside it where it is)")
    _trust(parser, required=False)


def _diff(parser: argparse.ArgumentParser) -> None:
    told = "a release, or the folder of a deployment, of published releases, or of an image"
    parser.add_argument("old", metavar="OLD", type=Path, help=told)
    parser.add_argument("new", metavar="NEW", type=Path, help="another one")
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        help="manifests that do not lie beside them",
    )
    _trust(parser, required=False)


def _terms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="where it goes, to be signed")
    parser.add_argument("--service", metavar="NAME", default="", help="the service's name (default: the source's own)")
    parser.add_argument(
        "--days", metavar="N", type=_days, default=DEFAULT_DAYS, help=f"how long it is valid ({DEFAULT_DAYS})"
    )
    parser.add_argument("--not-before", metavar="INSTANT", type=_instant, help="from when on (default: now)")
    parser.add_argument("--number", metavar="N", type=_number, help="its number (default: the next one)")
    _trust(parser, required=True)
    _published(parser, required=True)


def _trust(parser: argparse.ArgumentParser, *, required: bool) -> None:
    told = "all public keys of the publisher (PEM), as your clients pin them" + ("" if required else "; verifies it")
    parser.add_argument(
        "--publisher", metavar="KEY.pub", nargs="+", action="extend", type=Path, required=required, help=told
    )
    parser.add_argument(
        "--threshold", metavar="N", type=_number, default=1, help="how many of them must have signed (1)"
    )
    parser.add_argument(
        "--rebuilder",
        metavar="KEY.pub",
        dest="rebuilders",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        help="public keys of those who rebuilt the image, each of whom signs the release as well",
    )


def _published(parser: argparse.ArgumentParser, *, required: bool) -> None:
    told = "the folder that the publisher publishes; made by the first `publish`"
    told += "" if required else " (here: to check number and dates against it, and to follow rotations)"
    parser.add_argument("--published", metavar="DIR", type=Path, required=required, help=told)


def _passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file", metavar="FILE", type=Path, help="the key's passphrase (mode 0600), in place of asking"
    )


def _days(text: str) -> int:
    days = _number(text)
    if days > MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected at most {MAX_DAYS} days: a release is renewed, not kept")
    return days


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def _instant(text: str) -> datetime:
    try:
        return instant(text, "INSTANT")
    except EvidenceError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an instant like 2026-01-31T12:00:00Z") from error


def _run(arguments: argparse.Namespace) -> int:
    return int(import_module("provisioner.releases.run").run(arguments))


_ACTIONS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], str]] = {
    "keygen": ("make one holder's key; its public half goes to the clients", _keygen, "alice.key --encrypt"),
    "create": (
        "make a release without signatures, from a deployment that was accepted or from an image",
        _create,
        f"build/prod --published site {_KEYS} --output next.json",
    ),
    "revoke": (
        "make a release that revokes others; a client that has it refuses those, whatever they prove",
        _revoke,
        f"7 --published site {_KEYS} --output next.json",
    ),
    "sign": (
        "add one holder's signature to a release or a rotation",
        _sign,
        f"next.json --key alice.key {_KEYS}",
    ),
    "publish": (
        "check a signed release or rotation, and put it where clients and auditors find it",
        _publish,
        f"next.json --source build/prod --log log --published site {_KEYS}",
    ),
    "rotate": (
        "make a rotation of the publisher's keys, for the old and the new holders to sign",
        _rotate,
        f"--new bob.pub carol.pub dave.pub --new-threshold 2 --published site {_KEYS} --output rotation.json",
    ),
    "show": ("explain a release or a rotation", _show, f"site {_KEYS}"),
    "diff": (
        "say what changed between two releases: packages, roles, files, measurements, terms",
        _diff,
        "site/releases/7.json site/releases/8.json",
    ),
}
