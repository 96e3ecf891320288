"""Everything that a host can ask a VM on its network card: only the service answers. Judged by the frames."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.lockdown.network import probes, tries
from tests.e2e.lockdown.network.frames import TCP, UDP, answered_ports, asked_ports
from tests.e2e.lockdown.network.lan import SERVICE
from tests.e2e.lockdown.network.standin import listening, plain_linux
from tests.e2e.machine import vitrine

FOUND = (22, 111, 2375, 5355)


@pytest.mark.property(
    "egress_firewall", inside="firewall", control="test_a_machine_without_the_rules_is_seen_to_answer"
)
def test_only_the_service_answers(cabled, cabled_vm, figures):
    with cabled.namespace.entered():
        assert vitrine("verify", cabled.origin, *cabled_vm.pins, "--wait", 120).status == 0
    first = len(cabled.cable.seen)
    sent = cabled.probe_everything()
    seen = cabled.cable.seen[first:]
    cabled.judge().require_none()
    assert asked_ports(seen, TCP) >= set(probes.ALL_TCP)
    assert asked_ports(seen, UDP) >= set(probes.UDP_PORTS)
    assert answered_ports(seen) == {SERVICE}
    answered = {int.from_bytes(packet[2:4], "big") for packet in cabled.segments(first)}
    assert set(probes.HEARTBEATS) <= answered, "the VM did not read all along"
    with cabled.namespace.entered():
        assert vitrine("verify", cabled.origin, *cabled_vm.pins).status == 0
    back = len(cabled.cable.from_vm(first))
    figures(*(f"{number:,} {name}" for name, number in sent.items()), "1 port answered", f"{back} frames back in all")


def test_a_machine_without_the_rules_is_seen_to_answer(cabled):
    with plain_linux(cabled) as inside, listening(inside, FOUND):
        cabled.probe_everything()
    judge = cabled.judge()
    assert answered_ports(cabled.cable.seen) == set(FOUND)
    found = Counter(leak.split(": ")[1].split(" ")[0].rstrip(",") for leak in judge.leaks)
    # A reset for every port but those where something listens; errors for UDP, which Linux rations; answers of IPv6.
    assert found["TCP"] >= len(probes.ALL_TCP) - len(FOUND)
    assert found["ICMP"] >= 100
    assert found["IPv6"] >= 10


@pytest.mark.slow
def test_the_same_guest_without_its_rules_is_seen_to_answer(opened):
    assert answered_ports(opened.sealed) == {SERVICE}
    assert answered_ports(opened.opened) == {SERVICE, *tries.LISTENING}
