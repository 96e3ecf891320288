"""Who may connect, and the machines' own network: what is no answer to that, and what an operator should know."""

from __future__ import annotations

import pytest

from provisioner.clouds import addresses

SUBNET = addresses.private_network(16, 28)
EXPECTED = "a list of IPv4 networks such as 203.0.113.0/24 or 203.0.113.7/32, without host bits"
BAD_RANGES = {
    "nothing": ([], EXPECTED),
    "no list": ("203.0.113.0/24", EXPECTED),
    "an address alone": (["203.0.113.7"], EXPECTED),
    "a network mask": (["203.0.113.0/255.255.255.0"], EXPECTED),
    "a host mask": (["203.0.113.0/0.0.0.255"], EXPECTED),
    "digits of another script": (["203.0.113.0/\u0662\u0664"], EXPECTED),
    "host bits": (["203.0.113.1/24"], EXPECTED),
    "no text": ([7], EXPECTED),
    "nothing in a list": ([None], EXPECTED),
    "IPv6": (["2001:db8::/32"], EXPECTED),
    "more bits than there are": (["203.0.113.0/33"], EXPECTED),
    "one too many": ([f"10.{n}.0.0/16" for n in range(201)], "at most 200 networks"),
    "thousands": ([f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000)], "at most 200 networks"),
    "one twice": (
        ["198.51.100.0/24", "203.0.113.0/24", "198.51.100.0/24"],
        "networks that have no address in common (198.51.100.0/24 and 198.51.100.0/24 have)",
    ),
    "one within another": (
        ["203.0.113.9/32", "10.0.0.0/8", "203.0.113.0/24"],
        "networks that have no address in common (203.0.113.0/24 and 203.0.113.9/32 have)",
    ),
}


@pytest.mark.parametrize("fault", BAD_RANGES)
def test_what_is_no_list_of_ranges(fault):
    value, said = BAD_RANGES[fault]
    assert addresses.ranges(value) == said


def test_ranges_that_are_right():
    assert addresses.ranges(["203.0.113.0/24", "203.0.114.7/32", "0.0.0.0/8"]) is None
    assert addresses.ranges(tuple(f"10.{n}.0.0/16" for n in range(200))) is None


@pytest.mark.parametrize(
    "value",
    [
        "8.8.8.0/24", "192.0.2.0/24", "100.64.0.0/16", "169.254.0.0/16", "127.0.0.0/16", "172.32.0.0/16",
        "10.0.0.0/15", "10.0.0.0/29", "10.0.0.1/24", "10.0.0.0", "10.0.0.0/255.255.255.0", "", None, 7,
    ],
)  # fmt: skip
def test_what_is_no_private_network(value):
    """Python calls some of them private; RFC 1918 does not, and a cloud's routes may not reach them."""
    assert SUBNET(value) == (
        "one private IPv4 network (RFC 1918) from /16 to /28, without host bits, such as 10.64.0.0/24"
    )


@pytest.mark.parametrize("value", ["10.0.0.0/16", "172.16.0.0/28", "172.31.255.0/24", "192.168.7.0/24"])
def test_private_networks(value):
    assert SUBNET(value) is None


def room(network, replicas):
    told = {"network": network, "replicas": replicas}
    return [str(fault) for fault in addresses.room_faults(told, "network", "10.0.0.0/24", reserved=4)]


def test_a_network_has_room_for_twice_the_replicas():
    assert room("10.64.0.0/28", 6) == []
    (said,) = room("10.64.0.0/28", 7)
    assert said == (
        "network: expected room for 14 machines, twice the replicas because of rollouts, and 4 of the cloud's, "
        "got '10.64.0.0/28', with room for 12"
    )
    assert room("10.64.0.0/28", 1) == []


EVERYBODY = "lets the whole Internet connect: whoever reaches the port may use it, unless the image asks for tokens"


@pytest.mark.parametrize(
    "told",
    [
        ("0.0.0.0/0",),
        ("0.0.0.0/1", "128.0.0.0/1"),
        ("0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/1"),
        tuple(f"{n}.0.0.0/6" for n in range(0, 256, 4)),
    ],
    ids=["all", "two halves", "three parts", "many parts"],
)
def test_the_whole_internet_is_a_warning_in_however_many_parts_it_is_said(told):
    assert list(addresses.warnings("client_ranges", told)) == [f"client_ranges {EVERYBODY}"]


def test_ranges_of_documents_alone_are_a_warning():
    (said,) = addresses.warnings("client_networks", ("203.0.113.0/25", "198.51.100.7/32", "192.0.2.0/24"))
    assert said.startswith("client_networks has nothing but addresses of documents (RFC 5737)")


@pytest.mark.parametrize("told", [("0.0.0.0/1",), ("203.0.113.0/24", "10.0.0.0/8"), ("203.0.112.0/23",)])
def test_everything_else_is_no_warning(told):
    assert list(addresses.warnings("client_ranges", told)) == []
