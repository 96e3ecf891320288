"""What leaves a VM from its first instruction to its last: replies of the service, DHCP and address resolution."""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter

import pytest

from tests.e2e.lockdown.network import tries
from tests.e2e.lockdown.network.frames import Judge
from tests.e2e.lockdown.network.lan import SERVICE, VM_MAC, qmp
from tests.e2e.lockdown.network.standin import plain_linux
from tests.e2e.machine import vitrine

CONTROL = "test_what_plain_linux_sends_is_seen"


def fetch(lan, path):
    """Ask the service for something as whoever is on the network; return the first line of the answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with lan.namespace.entered():
        plain = socket.create_connection((lan.lease.address, SERVICE), timeout=60)
    with context.wrap_socket(plain) as channel:
        channel.sendall(f"GET {path} HTTP/1.1\r\nHost: vm\r\nConnection: close\r\n\r\n".encode())
        return channel.recv(4096).split(b"\r\n")[0].decode()


def aborted(lan):
    """Begin a connection and leave it in the middle."""
    with lan.namespace.entered(), socket.create_connection((lan.lease.address, SERVICE), timeout=60) as plain:
        plain.sendall(b"\x16\x03\x01\x02\x00\x01")


@pytest.mark.slow
@pytest.mark.property("egress_firewall", inside="firewall", control=CONTROL)
def test_nothing_leaves_but_replies_and_dhcp_from_the_first_instruction_to_the_last(
    cabled, deployment, tmp_path, figures
):
    vm = cabled.boot(deployment, tmp_path / "vm", "whole")
    try:
        with cabled.namespace.entered():
            assert vitrine("verify", cabled.origin, *vm.pins, "--wait", 600, seconds=900).status == 0
            question = ("What is the capital of Japan?", *vm.pins, "--max-tokens", 8, "--wait", 300)
            answered = vitrine("ask", cabled.origin, *question, seconds=900)
        assert answered.status == 0, answered.err
        assert " 404 " in fetch(cabled, "/metrics"), "this image was baked without metrics"
        assert " 404 " in fetch(cabled, "/%00")
        aborted(cabled)
        time.sleep(30)
        with qmp(vm) as connection:
            connection.execute("system_powerdown")
        time.sleep(10)
        assert fetch(cabled, "/v1/models").startswith("HTTP/1.1 "), "the power button is the host's"
    finally:
        vm.destroy()
    judge = cabled.judge().require_none()
    assert judge.kinds["DHCP"] >= 2, "not the whole of a boot"
    assert judge.kinds["service"] >= 50
    seconds = cabled.cable.seen[-1].at - cabled.cable.seen[0].at
    figures(f"{seconds:.0f} s", *(f"{number} {kind}" for kind, number in sorted(judge.kinds.items())), "0 others")


@pytest.mark.slow
@pytest.mark.property("egress_firewall", inside="firewall", control=CONTROL)
def test_what_root_tries_in_the_guest_does_not_leave(opened, figures):
    judge = Judge(VM_MAC, SERVICE).follow(opened.sealed).require_none()
    assert judge.kinds["DHCP"] >= 2
    assert seen(opened.sealed, "sealed") == set()
    figures(f"{len(tries.NAMES)} ways tried", f"{len(opened.sealed)} frames seen", "0 of them")


def test_what_plain_linux_sends_is_seen(cabled):
    with plain_linux(cabled) as inside, inside.entered():
        time.sleep(3)
        tries.try_all("opened")
        time.sleep(1)
    assert seen(cabled.cable.seen, "opened") == set(tries.NAMES)
    # The tag is part of what is seen: without it the frame would look like what is in it.
    assert any(item.from_vm and item.data[12:14] == b"\x81\0" for item in cabled.cable.seen)
    assert len(cabled.judge().leaks) >= len(tries.NAMES)


@pytest.mark.slow
def test_what_the_same_guest_sends_without_its_rules_is_seen(opened):
    judge = Judge(VM_MAC, SERVICE).follow(opened.opened)
    assert seen(opened.opened, "opened") == set(tries.NAMES)
    kinds = Counter(leak.split(": ")[1].split(" ")[0].rstrip(",") for leak in judge.leaks)
    assert {"UDP", "TCP", "ICMP", "IPv6", "ARP"} <= set(kinds), kinds


def seen(frames, tag):
    """Return the names of the attempts that a capture shows."""
    sent = [item.data for item in frames if item.from_vm]
    return {name for name in tries.NAMES if any(carries(frame, tag, name) for frame in sent)}


def carries(frame, tag, name):
    """Say whether a frame is an attempt: by the words in it, or by its source port."""
    mark = tries.mark(tag, name)
    return frame[34:36] == mark if name in tries.PORTS else mark in frame
