"""Options that say who the publisher is: his keys, his log with its witnesses, who rebuilds, and what is remembered."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from pathlib import Path

from client_sdk.errors import EvidenceError
from client_sdk.publisher import Publisher
from client_sdk.transparency.client.memory import Memory

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_SPAN = re.compile(r"([1-9][0-9]{0,4})([dhm])")
# An option for each part of a publisher that an error may name.
_NAMED = {
    "publisher.keys": "--publisher",
    "publisher.threshold": "--threshold",
    "publisher.log": "--log",
    "publisher.witnesses": "--witness",
    "publisher.witness_quorum": "--witness-quorum",
    "publisher.rebuilders": "--rebuilder",
    "publisher.max_checkpoint_age": "--max-checkpoint-age",
}


def add_publisher(group: argparse._ArgumentGroup) -> None:
    """Add who is trusted to publish, and which log has to have it."""
    group.add_argument(
        "--publisher",
        metavar="KEY.pub",
        nargs="+",
        action="extend",
        required=True,
        type=Path,
        help="public key of the publisher, from the publisher (PEM, Ed25519)",
    )
    group.add_argument(
        "--threshold", metavar="N", type=int, default=1, help="how many of the publisher's keys must have signed (1)"
    )
    group.add_argument(
        "--log",
        metavar="KEY",
        help="key of the publisher's log, NAME+ID+KEY or a file with it: every release must be in that log, and "
        "--release takes bundles",
    )
    many = {"nargs": "+", "action": "extend", "default": []}
    group.add_argument("--witness", metavar="KEY", **many, help="keys of witnesses of the log, as --log's")  # type: ignore[arg-type]
    group.add_argument(
        "--witness-quorum", metavar="N", type=int, help="how many of the witnesses must have signed (all of them)"
    )
    group.add_argument(
        "--max-checkpoint-age",
        metavar="AGE",
        type=_span,
        help="how long ago the witnesses may have signed: 7d, 12h or 30m (no limit)",
    )
    group.add_argument(
        "--rebuilder",
        metavar="KEY.pub",
        **many,  # type: ignore[arg-type]
        type=Path,
        help="keys of those who must have signed the release beside the publisher, after building it again",
    )
    group.add_argument(
        "--state",
        metavar="FOLDER",
        type=Path,
        help="remember there what publisher and log have shown, and refuse what has gone back since",
    )


def publisher(arguments: argparse.Namespace) -> Publisher:
    """Read whom the options name.

    Raises:
        EvidenceError: it cannot be; the place in it is the option.
    """
    try:
        return Publisher(
            keys=tuple(arguments.publisher),
            threshold=arguments.threshold,
            log=arguments.log,
            witnesses=tuple(arguments.witness),
            witness_quorum=arguments.witness_quorum,
            rebuilders=tuple(arguments.rebuilder),
            max_checkpoint_age=arguments.max_checkpoint_age,
        )
    except EvidenceError as error:
        place = re.match(r"publisher\.\w+", error.where)
        option = _NAMED.get(place[0], "--publisher") if place else "--publisher"
        raise EvidenceError(option, str(error)) from error


def memory(arguments: argparse.Namespace) -> Memory | None:
    """Return the memory, where a folder is given."""
    return None if arguments.state is None else Memory(arguments.state)


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no age like 7d, 12h or 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
