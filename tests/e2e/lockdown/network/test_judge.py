"""The judge of frames, on frames made by hand: each way to smuggle something past it is a leak, replies are none."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest

from tests.e2e.lockdown.network.dhcp import COOKIE
from tests.e2e.lockdown.network.frames import IPV4, TCP, Judge
from tests.e2e.lockdown.network.lan import ROUTER, ROUTER_MAC, SERVICE, VM, VM_MAC
from tests.e2e.lockdown.network.probes import ACK, BROADCAST, SYN, Ends
from tests.e2e.lockdown.network.wire import Seen

HOST = Ends(ROUTER_MAC, ROUTER, VM_MAC, VM)
# The other way round: what the VM sends.
GUEST = Ends(VM_MAC, VM, ROUTER_MAC, ROUTER)
ASKED = HOST.tcp(SERVICE, source_port=40000)


def judged(*frames, before=(ASKED,)):
    seen = [Seen(0.0, from_vm=False, data=frame) for frame in before]
    seen += [Seen(1.0, from_vm=True, data=frame) for frame in frames]
    return Judge(VM_MAC, SERVICE).follow(seen)


def reply(*, source_port=SERVICE, port=40000, **where):
    return GUEST.tcp(port, flags=SYN | ACK, source_port=source_port, **where)


def request(options=b"", *, head=b"\1\1\6\0", card=VM_MAC, name=b"", flags=b"\0\0", **where):
    body = head + b"\1\2\3\4\0\0" + flags + bytes(16) + card + bytes(10) + name.ljust(192, b"\0") + COOKIE
    return GUEST.udp(67, body + b"\x35\1\1" + options + b"\xff", source_port=68, target="255.255.255.255", **where)


def resolved():
    """Tell the router who has the VM's address."""
    told = GUEST.arp(ROUTER, operation=2, to=ROUTER_MAC)
    return told[:32] + ROUTER_MAC + told[38:]


def test_replies_leases_and_address_resolution_are_no_leaks():
    asked = HOST.arp(VM)
    answer = resolved()
    judge = judged(reply(), request(b"\x37\2\1\3"), GUEST.arp(ROUTER), answer, before=(ASKED, asked))
    assert judge.leaks == []
    assert judge.kinds == {"service": 1, "DHCP": 1, "ARP request": 1, "ARP reply": 1}


SMUGGLED = {
    "a name server is asked": GUEST.udp(53, b"name"),
    "the time is asked": GUEST.udp(123, b"time"),
    "a connection of the machine's own": GUEST.tcp(443),
    "a connection of its own from the service's port": GUEST.tcp(443, source_port=SERVICE),
    "a reply that nobody asked for": reply(port=40001),
    "a reply to another machine": reply(target="10.0.2.77"),
    "a reply from another address": reply(source="10.0.2.77"),
    "a reply from another port": reply(source_port=22),
    "a datagram from the service's port": GUEST.udp(40000, b"x", source_port=SERVICE),
    "a ping": GUEST.icmp(8),
    "a ping's answer": GUEST.icmp(0),
    "a port that says it is closed": GUEST.icmp(3, 3),
    "a reply in fragments": GUEST.packet(TCP, reply()[34:54], fragment=0x2000),
    "a reply with options of IP": GUEST.packet(TCP, reply()[34:54], more=b"\1\1\1\1"),
    "luggage behind a packet": reply().rstrip(b"\0").ljust(60, b"\0") + b"CANARY",
    "half a packet": GUEST.ethernet(IPV4, b"\x45"),
    "a packet that is longer than its frame": GUEST.ethernet(IPV4, b"\x45\0\x05\xdc" + bytes(40)),
    "IPv6": GUEST.ipv6(58, b"\x85\0\0\0\0\0\0\0", "ff02::2"),
    "a membership of a group": GUEST.packet(2, bytes(8), target="224.0.0.22"),
    "an unknown protocol": GUEST.ethernet(0x88B5, b"CANARY" * 8),
    "a tag before a reply": reply()[:12] + struct.pack("!HH", 0x8100, 5) + reply()[12:],
    "another card's address": Ends(ROUTER_MAC, VM, ROUTER_MAC, ROUTER).tcp(40000, source_port=SERVICE),
    "address resolution with luggage": GUEST.arp(ROUTER)[:42] + b"CANARY",
    "address resolution that is too long": GUEST.arp(ROUTER) + bytes(8),
    "address resolution of another kind": GUEST.arp(ROUTER, hardware=7),
    "reverse address resolution": GUEST.arp(ROUTER, operation=3),
    "address resolution for nobody's address": GUEST.arp("10.0.2.77"),
    "address resolution with a word in a field": GUEST.arp(ROUTER)[:32] + b"CANARY" + GUEST.arp(ROUTER)[38:],
    "an announcement of the machine's own address": GUEST.arp(VM),
    "an answer about an address that nobody asked for": resolved(),
    "an answer to somebody else than it says": GUEST.arp(ROUTER, operation=2, to=ROUTER_MAC),
    "DHCP with a host's name": request(b"\x0c\3abc"),
    "DHCP with a name for the client": request(b"\x3d\x05\xffabcd"),
    "DHCP from the maker": request(b"\x3c\3abc"),
    "DHCP with luggage in its empty fields": request(name=b"CANARY"),
    "DHCP with luggage behind its end": request(b"\xffCANARY"),
    "DHCP with luggage in an option that has no content": request(b"\x50\3abc"),
    "DHCP of another card": request(card=b"CANARY"),
    "DHCP as a relay": request(head=b"\1\1\6\1"),
    "no DHCP on its port": GUEST.udp(67, b"CANARY", source_port=68),
    "DHCP to a port of its own": GUEST.udp(6767, request()[42:], source_port=68),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_whatever_else_is_sent_is_a_leak(name):
    judge = judged(SMUGGLED[name])
    assert len(judge.leaks) == 1, judge.kinds


def test_a_reply_counts_only_after_its_question():
    early = Seen(0.0, from_vm=True, data=reply())
    late = Seen(1.0, from_vm=False, data=ASKED)
    assert len(Judge(VM_MAC, SERVICE).follow([early, late]).leaks) == 1
    assert Judge(VM_MAC, SERVICE).follow([late, replace(early, at=2.0)]).leaks == []


def test_who_offers_himself_as_router_may_be_asked_for():
    offer = bytes(236) + COOKIE + b"\3\4" + socket.inet_aton("10.0.2.77") + b"\xff"
    told = HOST.udp(68, offer, source_port=67, to=BROADCAST)
    assert judged(GUEST.arp("10.0.2.77"), before=(told,)).leaks == []
