"""`vitrine log`: a transparency log of releases as files, for whoever keeps one, watches one or vouches for one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from client_sdk.cli.options import Commands, add_command

_HELP = "keep, read, watch or witness a log of releases (C2SP tlog-tiles)"
_EXAMPLES = {
    "init": ("vitrine log init mylog --origin log.example/releases --publisher publisher.pub",),
    "append": ("vitrine log append mylog release.json",),
    "bundle": ("vitrine log bundle mylog release.json --output bundle.json",),
    "page": ("vitrine log page mylog --name 'Example Care' --manifest manifest.json",),
    "serve": ("vitrine log serve mylog",),
    "verify": ("vitrine log verify https://log.example/releases --log log.pub --publisher publisher.pub",),
    "monitor": (
        "vitrine log monitor https://log.example/releases --log log.pub --publisher publisher.pub \\",
        "      --state seen --interval 300",
    ),
    "witness": (
        "vitrine log witness mywitness --name witness.example/w1",
        "vitrine log witness mywitness --log log.pub --serve",
    ),
}
_CODES = """exit codes:
  0 done, and all is right    1 refused: a fork, an old file, a changed tile, an entry that cannot follow
  2 usage, or a file of yours that is not what it should be    3 no verdict: it cannot be read or written now
"""
_PLACE = "https:// URL, or a folder"
DEFAULT_PORT, WITNESS_PORT = 8480, 8481
MOST = 20_000_000
Run = Callable[[argparse.Namespace], int]


def register(commands: Commands) -> None:
    """Add the command."""
    every = [line for lines in _EXAMPLES.values() for line in lines]
    parser = add_command(commands, "log", _HELP, every, after=_CODES)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_owner(actions)
    _add_readers(actions)
    _add_witness(actions)
    _add_page(actions)


def _add_owner(actions: Commands) -> None:
    init = _action(actions, "init", "make a log without entries, and its key", "log_owner")
    init.add_argument("log", metavar="LOG", type=Path, help="folder for the log; LOG/public is what gets hosted")
    init.add_argument(
        "--origin", metavar="NAME", required=True, help="the log's name: where it will be, without https://"
    )
    _add_publisher(init, required=True)
    init.add_argument(
        "--witness",
        metavar="KEY[,URL]",
        action="append",
        default=[],
        help="key of a witness (NAME+ID+KEY or a file), and where it takes checkpoints; may be given again",
    )
    init.add_argument("--quorum", metavar="N", type=int, default=None, help="how many witnesses must sign (all)")
    append = _action(
        actions, "append", "add signed releases or rotations of keys; without a file: sign anew", "log_owner"
    )
    append.add_argument("log", metavar="LOG", type=Path, help="the log's folder")
    append.add_argument("files", metavar="FILE", nargs="*", type=Path, help="release.json, or a rotation, as signed")
    append.add_argument(
        "--cosignatures",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        help="what witnesses answered who are asked by hand",
    )
    append.add_argument("--export", metavar="FILE", type=Path, help="write the checkpoint for such witnesses")
    append.add_argument("--json", action="store_true", help="print one line of JSON")
    _add_timeout(append)
    _add_handing_out(actions)


def _add_handing_out(actions: Commands) -> None:
    serve = _action(actions, "serve", "serve the log's files on this machine, for trying out", "log_owner")
    serve.add_argument("log", metavar="LOG", type=Path, help="the log's folder")
    serve.add_argument("--port", metavar="N", type=_port, default=DEFAULT_PORT, help=f"of 127.0.0.1 ({DEFAULT_PORT})")
    bundle = _action(actions, "bundle", "make what clients are given: a release with its proof", "log_owner")
    bundle.add_argument("place", metavar="LOG", help=f"the log: {_PLACE}")
    bundle.add_argument("release", metavar="RELEASE", type=Path, help="release.json, as it was appended")
    bundle.add_argument("--output", metavar="FILE", type=Path, required=True, help="where the bundle goes")
    bundle.add_argument(
        "--since",
        metavar="SIZE",
        type=_number(1, 2**63 - 1),
        nargs="+",
        action="extend",
        default=[],
        help="sizes of the log that clients remember: it is proven to have grown from them (the last 16)",
    )
    bundle.add_argument("--log", metavar="KEY", dest="key", help="the log's key (of a log that is not your own)")
    _add_publisher(bundle, required=False)
    _add_most(bundle)
    _add_timeout(bundle)


def _add_readers(actions: Commands) -> None:
    verify = _action(actions, "verify", "check every file of a log", "log_verify")
    _add_read(verify)
    _add_publisher(verify, required=False)
    _add_most(verify)
    monitor = _action(
        actions, "monitor", "print every new release, and hold the log to what it showed before", "log_monitor"
    )
    _add_read(monitor)
    _add_publisher(monitor, required=True)
    monitor.add_argument("--state", metavar="DIR", type=Path, required=True, help="folder for what was seen")
    often = monitor.add_mutually_exclusive_group()
    often.add_argument("--once", action="store_true", help="look once (the default)")
    often.add_argument("--interval", metavar="SECONDS", type=_number(1, 86_400), help="look again and again")
    monitor.add_argument(
        "--max-age", metavar="SECONDS", type=_number(1, 10**9), help="how long ago a witness may have signed"
    )
    monitor.add_argument(
        "--recheck", metavar="N|all", type=_many, default=4, help="old entry bundles to read again each time (4)"
    )


def _add_witness(actions: Commands) -> None:
    witness = _action(actions, "witness", "sign what a log shows, as long as it has only grown", "log_witness")
    witness.add_argument("state", metavar="DIR", type=Path, help="folder for the witness's key and what it signed")
    witness.add_argument("--name", metavar="NAME", help="make the key of a new witness, under this name")
    witness.add_argument(
        "--log", metavar="KEY", dest="keys", action="append", default=[], help="key of a log; may be given again"
    )
    witness.add_argument("--serve", metavar="PORT", type=_port, nargs="?", const=WITNESS_PORT, help=_served())
    witness.add_argument("--checkpoint", metavar="FILE", type=Path, help="sign a checkpoint in a file")
    witness.add_argument("--from", metavar="LOG", dest="place", help=f"where the tiles are for its proof: {_PLACE}")
    witness.add_argument("--output", metavar="FILE", type=Path, help="where the cosignature goes (standard output)")
    _add_timeout(witness)


def _add_page(actions: Commands) -> None:
    page = _action(actions, "page", "write pages about the log for people, beside its files", "log_page")
    page.add_argument("place", metavar="LOG", help=f"the log: its folder, or of another's log {_PLACE}")
    page.add_argument("--name", metavar="NAME", default="the publisher", help="what to call the publisher")
    page.add_argument("--url", metavar="URL", help="where the log is served (https:// and the log's name)")
    page.add_argument(
        "--manifest",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        help="manifests of releases, or folders of them: put beside the log, and shown with the release",
    )
    page.add_argument("--output", metavar="DIR", type=Path, help="write to DIR/public (LOG/public, of your own log)")
    page.add_argument("--log", metavar="KEY", dest="key", help="the log's key (of a log that is not your own)")
    page.add_argument(
        "--witness", metavar="KEY", action="append", default=[], help="key of a witness (those of your own log)"
    )
    _add_publisher(page, required=False)
    _add_most(page)
    _add_timeout(page)


def _served() -> str:
    return f"take checkpoints over HTTP at a port of 127.0.0.1 ({WITNESS_PORT}), for a web server in front"


def _add_read(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", metavar="LOG", help=f"the log: {_PLACE}")
    parser.add_argument("--log", metavar="KEY", dest="key", required=True, help="the log's key, from whoever keeps it")
    parser.add_argument(
        "--witness", metavar="KEY", action="append", default=[], help="key of a witness; may be given again"
    )
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    _add_timeout(parser)


def _add_publisher(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--publisher",
        metavar="KEY.pub",
        nargs="+",
        action="extend",
        required=required,
        default=None if required else [],
        type=Path,
        help="public key of the publisher: of the first set, where keys were rotated (PEM, Ed25519)",
    )
    parser.add_argument("--threshold", metavar="N", type=int, default=1, help="how many of these keys must sign (1)")


def _add_most(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--most", metavar="N", type=_number(1, 10**11), default=MOST, help=f"entries that are read at most ({MOST})"
    )


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_number(1, 3600), default=30, help="limit of one request (30)"
    )


def _action(actions: Commands, name: str, help_text: str, module: str) -> argparse.ArgumentParser:
    parser = add_command(actions, name, help_text, _EXAMPLES[name], after=_CODES)
    parser.set_defaults(run=_running(module, name))
    return parser


def _running(module: str, name: str) -> Run:
    """Load what does the work when it is asked for."""

    def run(arguments: argparse.Namespace) -> int:
        from_module: Any = import_module(f"client_sdk.cli.{module}")
        found: Run = getattr(from_module, name)
        return import_module("client_sdk.cli.log_edge").told(found, arguments)  # type: ignore[no-any-return]

    return run


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}")
        return int(text)

    return read


def _port(text: str) -> int:
    return _number(0, 65_535)(text)


def _many(text: str) -> int | None:
    return None if text == "all" else _number(0, 10**6)(text)
