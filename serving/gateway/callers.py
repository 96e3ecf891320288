"""Who is one caller where nobody is known by a token: the network that a connection comes from.

That is an IPv4 address, or the /64 of an IPv6 one, since a host chooses the rest of that itself. Nothing better is
known of somebody who has proven nothing yet. Behind a NAT, or behind a balancer that hides addresses, many people are
one caller, which costs them nothing while there is room.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

_NETWORK = 64


def caller_of(host: str) -> str:
    """Name the network that an address belongs to."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or ipaddress.IPv6Network((address, _NETWORK), strict=False))


def sender_of(scope: Mapping[str, Any]) -> str:
    """Name the network that a request came from (ASGI's scope)."""
    host, _ = scope.get("client") or ("", 0)
    return caller_of(host)
