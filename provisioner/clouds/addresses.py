"""Addresses that an inventory names: who may connect, and the private network of the machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, collapse_addresses
from itertools import pairwise
from typing import Any

from provisioner.errors import Fault
from provisioner.fields import Check

_MOST_RANGES = 200  # one rule of any cloud's firewall holds as many
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))  # RFC 1918
_EXAMPLES = tuple(map(IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))  # RFC 5737
_EVERYBODY = IPv4Network("0.0.0.0/0")


def ranges(value: object) -> str | None:
    """Expect a list of IPv4 networks in CIDR notation, without host bits, none of them within another."""
    expected = "a list of IPv4 networks such as 203.0.113.0/24 or 203.0.113.7/32, without host bits"
    if not isinstance(value, list | tuple) or not value:
        return expected
    found = [_network(one) for one in value]
    networks = sorted(one for one in found if one is not None)
    if len(networks) != len(found):
        return expected
    if len(networks) > _MOST_RANGES:
        return f"at most {_MOST_RANGES} networks"
    within = next((f"{a} and {b}" for a, b in pairwise(networks) if a.overlaps(b)), "")
    return f"networks that have no address in common ({within} have)" if within else None


def private_network(largest: int, smallest: int) -> Check:
    """Expect a network of RFC 1918 whose prefix is from ``largest`` to ``smallest`` bits long."""

    def check(value: object) -> str | None:
        network = _network(value)
        good = (
            network is not None
            and largest <= network.prefixlen <= smallest
            and any(network.subnet_of(one) for one in _PRIVATE)
        )
        example = f"one private IPv4 network (RFC 1918) from /{largest} to /{smallest}, without host bits"
        return None if good else f"{example}, such as 10.64.0.0/24"

    return check


def room_faults(good: Mapping[str, Any], key: str, default: str, *, reserved: int) -> Iterator[Fault]:
    """Yield a fault where a network has too few addresses; ``reserved`` of them the cloud keeps for itself.

    A group needs two for each machine: a rollout has the new machines beside the old ones.
    """
    network, replicas = good.get(key, default), good.get("replicas", 1)
    wanted = 2 * replicas if replicas > 1 else 1
    room = IPv4Network(network).num_addresses - reserved
    if room < wanted:
        expected = f"room for {wanted} machines, twice the replicas because of rollouts, and {reserved} of the cloud's"
        yield Fault(key, expected, f"{network!r}, with room for {room}")


def warnings(variable: str, networks: tuple[str, ...]) -> Iterator[str]:
    """Yield what an operator should know of who may connect."""
    found = tuple(collapse_addresses(map(IPv4Network, networks)))
    if _EVERYBODY in found:
        yield (
            f"{variable} lets the whole Internet connect: whoever reaches the port may use it, unless the image asks "
            "for tokens"
        )
    if all(any(one.subnet_of(example) for example in _EXAMPLES) for one in found):
        yield (
            f"{variable} has nothing but addresses of documents (RFC 5737), which nobody has: no client can connect, "
            "and this machine neither, which has to accept the service"
        )


def _network(value: object) -> IPv4Network | None:
    """Read a network whose prefix is said as a number of bits; an address alone is none."""
    if not isinstance(value, str) or not value.partition("/")[2].isascii() or not value.partition("/")[2].isdigit():
        return None
    try:
        return IPv4Network(value)
    except ValueError:
        return None
