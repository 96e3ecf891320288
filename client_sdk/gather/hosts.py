"""Whom the gatherer may talk to: the hosts in ``data/vendors.json``, by scheme, name and the beginning of the path.

An address in evidence is whatever its sender wrote, so it is compared with this list before anything is sent.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from client_sdk.errors import FetchError

MAX_URL = 1024
# No credentials, no port, no fragment, nothing that two readers could read in two ways.
_URL = re.compile(r"(https?)://([a-z0-9.-]{1,253})(/[A-Za-z0-9._~%/?&=+-]*)?")


@dataclass(frozen=True, slots=True)
class Host:
    """One host, or a family of hosts of one owner: ``host`` is a pattern over the whole name."""

    host: str
    schemes: frozenset[str]
    paths: tuple[str, ...]
    pause: float
    told: str
    what: str


@cache
def hosts() -> tuple[Host, ...]:
    """Return the list, in the order of the file."""
    rows = json.loads(resources.files("client_sdk").joinpath("data", "vendors.json").read_bytes())
    return tuple(
        Host(row["host"], frozenset(row["schemes"]), tuple(row["paths"]), row["pause_ms"] / 1000, *_words(row))
        for row in rows
    )


def _words(row: dict[str, str]) -> tuple[str, str]:
    return row["told"], row["what"]


def permitted(url: str) -> Host:
    """Return the host that an address is of.

    Raises:
        FetchError: it is of none, or not spelt as an address of a vendor is.
    """
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found:
        scheme, name, path = found[1], found[2], found[3] or "/"
        for host in hosts():
            if scheme in host.schemes and path.startswith(host.paths) and re.fullmatch(host.host, name):
                return host
    raise FetchError(f"{url[:200]} is no address of a vendor that this version asks; see docs/collateral.md")
