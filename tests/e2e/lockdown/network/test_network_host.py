"""What a hostile host tells a VM through its network: DHCP, routers, neighbours, more cards. Nothing gets out by it."""

from __future__ import annotations

import socket
import time

import pytest

from tests.e2e.lockdown.network import probes
from tests.e2e.lockdown.network.conftest import second_card
from tests.e2e.lockdown.network.dhcp import ACK, FORCE_RENEW, NAK, OFFER, Lease, hostile
from tests.e2e.lockdown.network.frames import UDP, ip
from tests.e2e.lockdown.network.lan import FALSE_ROUTER, OTHER_MAC, PULLABLE, ROUTER, exchange, lan
from tests.e2e.lockdown.network.standin import plain_linux
from tests.e2e.machine import vitrine

TAKES = "test_a_guest_that_takes_what_it_is_told_is_seen_to"
OFFERED = hostile(FALSE_ROUTER, ROUTER)
OWN_NAME = 12
# Bytes of a segment that a client may send: of an Ethernet's 1,500, and of the 576 that the host offers, of which a
# machine with IPv6 makes 1,280, IPv6's least.
WHOLE, NARROW = 1460, 1240


def longest_segment(frame):
    """Return what a SYN-ACK says that it takes (option 2 of TCP)."""
    told = ip(frame).payload[20:]
    assert told[:2] == b"\2\4"
    return int.from_bytes(told[2:4], "big")


def messages(cable, first):
    """Return the DHCP messages that a VM sent."""
    packets = (ip(item.data) for item in cable.from_vm(first))
    return [packet.payload[8:] for packet in packets if packet and packet.protocol == UDP]


@pytest.mark.slow
@pytest.mark.property("no_host_input", inside="DHCP is outside of it", control=TAKES)
def test_a_dhcp_server_gives_an_address_and_a_router_and_nothing_else(cabled, cabled_vm, figures):
    # Another address, so that it shows that the lease was taken.
    cabled.lease.address, cabled.lease.more = "10.0.2.99", OFFERED
    cabled.renew(cabled_vm)
    time.sleep(10)
    frame, looked_for = cabled.answer_to_elsewhere()
    assert FALSE_ROUTER not in looked_for
    assert longest_segment(frame) == WHOLE
    assert all(OWN_NAME not in told for told in cabled.requests())
    cabled.renew(cabled_vm)
    with cabled.namespace.entered():
        assert vitrine("verify", cabled.origin, *cabled_vm.pins, "--wait", 60).status == 0
    assert all(OWN_NAME not in told for told in cabled.requests())
    judge = cabled.judge().require_none()
    figures(f"{len(OFFERED)} options offered", "none taken", f"{judge.kinds.total()} frames")


@pytest.mark.slow
@pytest.mark.property("no_host_input", inside="DHCP is outside of it", control=TAKES)
def test_another_servers_messages_change_nothing(cabled, cabled_vm, figures):
    last = messages(cabled.cable, 0)[-1]
    rogue = Lease("10.0.2.200", FALSE_ROUTER, more=OFFERED)
    ends, told = cabled.ends, []
    for kind in (OFFER, ACK, NAK, FORCE_RENEW):
        body = rogue.message(kind, last)
        told += [
            ends.udp(68, body, source_port=67, source=source, target=target, to=to)
            for source in (FALSE_ROUTER, ROUTER)
            for target, to in (("255.255.255.255", probes.BROADCAST), (cabled.lease.address, None))
        ]
    first = cabled.probe(told, settle=15)
    assert cabled.cable.from_vm(first) == []
    frame, looked_for = cabled.answer_to_elsewhere()
    assert FALSE_ROUTER not in looked_for
    assert longest_segment(frame) == WHOLE
    cabled.judge().require_none()
    figures(f"{len(told)} messages", "0 frames back")


@pytest.mark.slow
@pytest.mark.property("no_host_input", inside="listeners", control="test_plain_linux_is_seen_to_believe_its_neighbours")
def test_routers_and_neighbours_are_not_believed(cabled, cabled_vm, figures):
    first = cabled.probe(believe_me(cabled.ends), settle=15)
    assert cabled.cable.from_vm(first) == []
    assert cabled.answer_to_elsewhere()[0][12:14] == b"\x08\0"
    cabled.judge().require_none()
    figures(f"{len(believe_me(cabled.ends))} frames", "0 back")


def test_plain_linux_is_seen_to_believe_its_neighbours(cabled):
    with plain_linux(cabled):
        time.sleep(3)
        first = cabled.probe(believe_me(cabled.ends), settle=5)
    sent = [item.data for item in cabled.cable.from_vm(first)]
    # It made itself an address of the prefix that was advertised, and looks whether anybody has it already.
    prefix = socket.inet_pton(socket.AF_INET6, "2001:db8:66::")[:8]
    assert any(prefix in frame for frame in sent)


def believe_me(ends):
    """Offer a router of IPv6; claim to be the router, and the VM; ask for the addresses that it would have."""
    own = ends.link_local.replace("fe80::", "2001:db8:66::")
    return [
        *[probes.router_advertisement(ends)] * 3,
        *(ends.arp(address, sender=address, operation=kind) for address in (ROUTER, FALSE_ROUTER) for kind in (1, 2)),
        ends.arp(ends.vm, sender=ends.vm, operation=2),
        *(ends.ipv6(58, b"\x80\0\0\0\0\1\0\1probe", target) for target in (own, ends.link_local, "ff02::1")),
        *(ends.ipv6(58, ask(ends, target), target) for target in (own, ends.link_local)),
    ]


def ask(ends, target):
    """Ask for a neighbour of IPv6."""
    return b"\x87\0\0\0" + bytes(4) + socket.inet_pton(socket.AF_INET6, target) + b"\1\1" + ends.host_mac


@pytest.mark.slow
@pytest.mark.property("egress_firewall", inside="firewall", control="test_plain_linux_answers_every_question")
def test_address_resolution_is_rationed(cabled, cabled_vm, figures):
    asked, seconds = 1000, 5
    first = len(cabled.cable.seen)
    cabled.cable.send([cabled.ends.arp(cabled.ends.vm)] * asked, per_second=asked / seconds)
    time.sleep(2)
    answers = len(cabled.cable.from_vm(first))
    # Ten a second and as many at once, by a guest's clock that is slower or faster than ours.
    assert 0 < answers < 250
    cabled.judge().require_none()
    figures(f"{asked} questions in {seconds} s", f"{answers} answers")


def test_plain_linux_answers_every_question(cabled):
    with plain_linux(cabled):
        first = cabled.probe([cabled.ends.arp(cabled.ends.vm)] * 1000)
    assert sum(item.data[12:14] == b"\x08\x06" for item in cabled.cable.from_vm(first)) >= 1000


@pytest.mark.slow
@pytest.mark.property("no_host_input", inside="it sees the rules of the first card alone", control=TAKES)
def test_a_second_card_gets_no_address_and_sends_nothing(cabled, deployment, tmp_path, figures):
    with lan("tap1", "10.0.3.2", "10.0.3.15", cabled.namespace) as second:
        vm = cabled.boot(deployment, tmp_path / "vm", "two-cards", extra=second_card(second.cable))
        try:
            with cabled.namespace.entered():
                vitrine("verify", cabled.origin, *vm.pins, "--wait", 600, seconds=900)
            second.probe([second.ends.tcp(8443), second.ends.arp("10.0.3.15"), second.ends.icmp(8)], settle=20)
        finally:
            vm.destroy()
        assert second.cable.from_vm() == []
        assert second.lease.asked == []
        cabled.judge().require_none()
        figures(f"{len(cabled.cable.from_vm())} frames of the first card", "0 of the second")


@pytest.mark.slow
@pytest.mark.property(
    "no_host_input", inside="it looks once, before", control="test_a_card_that_is_taken_is_seen_to_ask_for_an_address"
)
def test_a_card_that_is_exchanged_sends_nothing(cabled, deployment, tmp_path, figures):
    # The rules against packet sockets hang on the card, and go when it goes.
    vm = cabled.boot(deployment, tmp_path / "vm", "exchanged", card=PULLABLE)
    try:
        with cabled.namespace.entered():
            vitrine("verify", cabled.origin, *vm.pins, "--wait", 600, seconds=900)
        assert cabled.judge().require_none().kinds["service"]
        let_go = exchange(vm)
        cabled.probe([cabled.ends.arp(cabled.ends.vm)] * 3, settle=30)
        if not let_go:
            cabled.answer_to_elsewhere()
    finally:
        vm.destroy()
    # Also not from another sender than the first card.
    judge = cabled.judge().require_none()
    figures("let go" if let_go else "not let go of", f"{judge.kinds.total()} frames", "0 of another card")


@pytest.mark.slow
def test_a_card_that_is_taken_is_seen_to_ask_for_an_address(opened):
    assert any(item.data[6:12] == OTHER_MAC for item in opened.exchanged)


@pytest.mark.slow
def test_a_guest_that_takes_what_it_is_told_is_seen_to(opened):
    assert any(OWN_NAME in told for told in opened.requests)
    frame, looked_for = opened.elsewhere
    assert FALSE_ROUTER in looked_for
    assert longest_segment(frame) == NARROW
    assert opened.second_sealed == []
    assert any(item.from_vm for item in opened.second_opened)
