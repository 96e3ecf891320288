"""The firewall's rules at work: the image's own nft and rules, between two network namespaces, judged by frames."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

VM, PEER = "192.0.2.1", "192.0.2.2"
SNIFF = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind(("peer0", 0)); s.settimeout(0.3)
print("ready", flush=True)
import select
while True:
    told = select.select([sys.stdin], [], [], 0)[0]
    try: frame, origin = s.recvfrom(2048)
    except TimeoutError:
        if told: break
        continue
    if origin[2] != socket.PACKET_OUTGOING: print(frame.hex(), flush=True)
"""
RAW = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
mac = s.getsockname()[4]
def send(kind, body):
    try: s.send(b"\\xff" * 6 + mac + kind.to_bytes(2, "big") + body)
    except OSError: pass
"""
ARP = 'b"\\0\\1\\x08\\0\\6\\4\\0\\1" + mac + bytes([192,0,2,1]) + bytes(6) + bytes([192,0,2,2])'


class Network:
    """Two namespaces joined by a cable: eth0 is the VM's end, peer0 the world's."""

    def __init__(self, stack):
        self.vm, self.peer = (stack.enter_context(self._namespace()) for _ in range(2))
        self.run(self.vm, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
        self.run(self.vm, "ip", "link", "set", "peer0", "netns", str(self.peer.pid))
        for side, name, address in ((self.vm, "eth0", VM), (self.peer, "peer0", PEER)):
            self.run(side, "ip", "address", "add", f"{address}/24", "dev", name)
            self.run(side, "ip", "link", "set", name, "up")

    @staticmethod
    @contextlib.contextmanager
    def _namespace():
        process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
        process.stdout.readline()
        yield process
        process.kill()
        process.wait()
        process.stdout.close()

    @staticmethod
    def enter(side, *argv):
        return ["nsenter", f"--net=/proc/{side.pid}/ns/net", *argv]

    def run(self, side, *argv):
        return subprocess.run(self.enter(side, *argv), capture_output=True, text=True, check=True, timeout=30).stdout

    def python(self, side, code):
        return self.run(side, sys.executable, "-c", code)

    def load(self, tree, enter):
        """Load the rules as the unit does, with the image's nft."""
        argv = ["unshare", "--mount", "sh", "-c", enter, "sh", str(tree)]
        self.run(self.vm, *argv, "/usr/sbin/nft", "--file", "/usr/lib/vitrine/firewall.nft")

    def frames(self, code):
        """Run code at the VM's end and give every frame that arrived at the other."""
        argv = self.enter(self.peer, sys.executable, "-c", SNIFF)
        sniffer = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert sniffer.stdout.readline() == "ready\n"
        self.python(self.vm, code)
        out, _ = sniffer.communicate("\n", timeout=10)  # it ends once it is told to and 0.3 s bring nothing more
        return [bytes.fromhex(line) for line in out.split()]


@contextlib.contextmanager
def joined():
    with contextlib.ExitStack() as stack:
        made = Network(stack)
        # The first seconds of an interface are full of IPv6 talk; the tests are about what is sent on purpose.
        made.run(made.vm, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")
        made.run(made.peer, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/peer0/disable_ipv6")
        made.run(made.vm, "ip", "route", "add", "default", "via", PEER)
        yield made


@pytest.fixture(scope="module")
def network(configured):
    with joined() as made:
        yield made


@pytest.fixture(scope="module")
def firewalled(configured, enter):
    with joined() as made:
        made.load(configured, enter)
        yield made


def plain_resolution(frame):
    """Ask or answer who has an address: the one thing besides replies that may leave."""
    return frame[12:20] == bytes.fromhex("0806000108000604") and frame[20:22] in (b"\0\1", b"\0\2") and len(frame) <= 60


def udp(port, source=0):
    return f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", {source}))
try: s.sendto(b"CANARY", ("{PEER}", {port}))
except OSError: pass
"""


def tcp(port, source=0):
    return f"""
import socket
s = socket.socket(); s.settimeout(0.5); s.bind(("", {source}))
try: s.connect(("{PEER}", {port}))
except OSError: pass
"""


ICMP = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
try: s.sendto(b"\\x08\\0\\xf7\\xff\\0\\0\\0\\0CANARY", ("{PEER}", 0))
except OSError: pass
"""
# What a service that was taken over could try, and nobody asked for.
ESCAPES = {
    "dns": udp(53),
    "ntp": udp(123),
    "udp-from-the-service-port": udp(9000, 8443),
    "tcp": tcp(443),
    "tcp-from-the-service-port": tcp(9000, 8443),
    "metadata": tcp(80).replace(PEER, "169.254.169.254"),
    "ping": ICMP,
    "packet-socket": RAW + 'send(0x88b5, b"CANARY" * 10)',
    "ipv6-by-packet-socket": RAW + 'send(0x86dd, b"CANARY" * 10)',
    "udp-by-packet-socket": RAW
    + 'send(0x0800, bytes.fromhex("4500002000000000401100000a0000010a000002") + b"CANARY" * 3)',
    "address-resolution-with-luggage": RAW + f'send(0x0806, {ARP} + b"CANARY" * 3)',
    "address-resolution-of-another-kind": RAW + f'send(0x0806, ({ARP}).replace(b"\\0\\1\\x08", b"\\0\\7\\x08", 1))',
    "reverse-resolution": RAW + f'send(0x0806, ({ARP})[:6] + b"\\0\\3" + ({ARP})[8:])',
}


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_that_nobody_asked_for_leaves(firewalled, name):
    assert firewalled.frames(ESCAPES[name]) == []


@pytest.mark.parametrize("name", ESCAPES)
def test_without_the_rules_the_same_attempt_is_seen(network, name):
    frames = network.frames(ESCAPES[name])
    assert [frame for frame in frames if b"CANARY" in frame or not plain_resolution(frame)] != []


def test_address_resolution_is_let_out_but_not_as_a_channel(firewalled):
    frames = firewalled.frames(RAW + f"for _ in range(500): send(0x0806, {ARP})")
    assert 0 < len(frames) < 30


SERVE = f"""
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("{VM}", PORT)); s.listen()
print("ready", flush=True)
c, _ = s.accept(); c.sendall(b"hello"); c.recv(1)
"""
ASK = f"""
import socket
try:
    c = socket.create_connection(("{VM}", PORT), timeout=1); print(c.recv(5).decode())
except OSError as error: print(type(error).__name__)
"""


def asked(network, port, address=VM):
    server = subprocess.Popen(
        network.enter(network.vm, sys.executable, "-c", SERVE.replace("PORT", str(port))), stdout=subprocess.PIPE
    )
    try:
        server.stdout.readline()
        return network.python(network.peer, ASK.replace(VM, address).replace("PORT", str(port))).strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_client_of_the_service_is_answered(firewalled):
    assert asked(firewalled, 8443) == "hello"


BALANCER = "198.51.100.7"


def asked_at_the_balancer(network):
    """Send a client's connection to the address of a balancer that passes it on as it is."""
    network.run(network.peer, "ip", "route", "replace", f"{BALANCER}/32", "via", VM)
    return asked(network, 8443, BALANCER)


def test_a_client_of_a_balancer_is_answered_from_its_address(firewalled):
    assert asked_at_the_balancer(firewalled) == "hello"


def test_without_the_rules_packets_for_the_balancers_address_are_lost(network):
    assert asked_at_the_balancer(network) != "hello"


@pytest.mark.parametrize("port", [22, 80, 443, 8442, 8444])
def test_any_other_port_of_the_balancer_is_silent(firewalled, port):
    firewalled.run(firewalled.peer, "ip", "route", "replace", f"{BALANCER}/32", "via", VM)
    assert asked(firewalled, port, BALANCER) == "TimeoutError"


@pytest.mark.parametrize("port", [22, 80, 443, 8442, 8444])
def test_any_other_port_is_silent_even_when_something_listens(firewalled, port):
    assert asked(firewalled, port) == "TimeoutError"


def test_without_the_rules_another_port_answers(network):
    assert asked(network, 22) == "hello"


def test_loopback_carries_nothing(firewalled):
    firewalled.run(firewalled.vm, "ip", "link", "set", "lo", "up")
    code = ASK.replace(VM, "127.0.0.1").replace("PORT", "8443")
    assert firewalled.python(firewalled.vm, code).strip() in {"TimeoutError", "PermissionError"}
