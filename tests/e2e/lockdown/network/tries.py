"""Runs in a VM, as root and outside every sandbox: tries to get word out, under the image's rules and without them.

It is put into a copy of the image (``opened.py``) and speaks with nobody but the console; the host paces it by pulling
the network cable. ``attempts`` is what is tried; the tests judge by the frames on the cable alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

CARD, ROUTER, OWN = "eth0", "10.0.2.2", "10.0.2.15"
METADATA, GROUP = "169.254.169.254", "224.0.0.251"
LISTENING = (22, 111, 2375)
# Nothing but the tag differs between the two times: source ports for what carries no payload.
TAGS = {"sealed": 21000, "opened": 22000}
# From a port of its own, to port 80.
SEGMENT = struct.pack("!HHIIBBHHH", 5, 80, 0, 0, 80, 2, 9, 0, 0)
PORTS = {"tcp": 1, "tcp-to-metadata": 2}
NETWORK = """
[Match]
Name={card}

[Network]
DHCP=ipv4
LinkLocalAddressing=ipv6
IPv6AcceptRA=no

[DHCPv4]
# Else the offer of option 108 would end IPv4.
IPv6OnlyMode=no
SendHostname=yes
UseRoutes=yes
UseMTU=yes
RouteMetric={metric}
"""
# Both cables' servers name the same ways; the first card's are taken.
METRICS = {"eth0": 1024, "eth1": 4096}


def say(words):
    """Tell the host how far it is."""
    Path("/dev/console").write_text(f"TRIES {words}\n")


def settings(values):
    """Change what the kernel does."""
    for name, value in values.items():
        Path("/proc/sys", name).write_text(value)


def datagram(text, where, *, port=0, family=socket.AF_INET):
    """Send a datagram."""
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if port:
            one.bind(("", port))
        one.sendto(text, where)


def raw(protocol, body, target):
    """Send a packet of a protocol."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as one:
        one.sendto(body, (target, 0))


def all_nodes(port):
    """Return the address of everybody on the link."""
    return "ff02::1", port, 0, socket.if_nametoindex(CARD)


def ping6(body):
    """Ping everybody on the link."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as one:
        one.sendto(body, all_nodes(0))


def connect(target, port, source):
    """Begin a connection."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.settimeout(1)
        one.bind(("", source))
        one.connect((target, port))


def frame(kind, body):
    """Send a frame past IP, through a packet socket."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as one:
        one.bind((CARD, 0))
        own = one.getsockname()[4]
        one.send(b"\xff" * 6 + own + struct.pack("!H", kind) + body.replace(b"MYCARD", own))


def packet(protocol, body):
    """Write an IPv4 packet for a packet socket."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, protocol, 0)
    return head + socket.inet_aton(OWN) + socket.inet_aton(ROUTER) + body


def resolution(text, *, hardware=1, operation=1):
    """Write an address resolution, with luggage."""
    head = struct.pack("!HHBBH", hardware, 0x0800, 6, 4, operation)
    return head + b"MYCARD" + socket.inet_aton(OWN) + bytes(6) + socket.inet_aton(ROUTER) + text


def mark(tag, name):
    """Return by what a capture tells an attempt: words, or the source port of what carries none."""
    return struct.pack("!H", TAGS[tag] + PORTS[name]) if name in PORTS else f"CANARY {tag} {name}.".encode()


def attempts(tag):
    """Return everything that is tried, by name."""

    def text(name):
        return mark(tag, name)

    echo, echo6 = b"\x08\0\0\0\0\1\0\1", b"\x80\0\0\0\0\1\0\1"
    return {
        "dns": lambda n: datagram(text(n), (ROUTER, 53)),
        "ntp": lambda n: datagram(text(n), (ROUTER, 123)),
        "udp-from-the-service-port": lambda n: datagram(text(n), (ROUTER, 9000), port=8443),
        "metadata": lambda n: datagram(text(n), (METADATA, 80)),
        "multicast": lambda n: datagram(text(n), (GROUP, 5353)),
        "broadcast": lambda n: datagram(text(n), ("255.255.255.255", 1900)),
        "tcp": lambda n: connect(ROUTER, 443, TAGS[tag] + PORTS[n]),
        "tcp-to-metadata": lambda n: connect(METADATA, 80, TAGS[tag] + PORTS[n]),
        "ping": lambda n: raw(socket.IPPROTO_ICMP, echo + text(n), ROUTER),
        "gre": lambda n: raw(47, text(n), ROUTER),
        "udp6": lambda n: datagram(text(n), all_nodes(5353), family=socket.AF_INET6),
        "ping6": lambda n: ping6(echo6 + text(n)),
        "packet-socket": lambda n: frame(0x88B5, text(n)),
        "packet-socket-udp": lambda n: frame(0x0800, packet(17, struct.pack("!HHHH", 5, 53, 48, 0) + text(n))),
        "packet-socket-tcp": lambda n: frame(0x0800, packet(6, SEGMENT + text(n))),
        "packet-socket-ipv6": lambda n: frame(0x86DD, b"\x60\0\0\0\0\x28\x3b\xff" + bytes(32) + text(n)),
        "packet-socket-vlan": lambda n: frame(0x8100, b"\0\5\x08\0" + packet(17, bytes(8) + text(n))),
        "arp-with-luggage": lambda n: frame(0x0806, resolution(text(n))),
        "arp-of-another-kind": lambda n: frame(0x0806, resolution(text(n), hardware=7)),
        "arp-reverse": lambda n: frame(0x0806, resolution(text(n), operation=3)),
    }


NAMES = tuple(attempts("sealed"))


def try_all(tag):
    """Try everything; what the kernel refuses is as good as what it drops."""
    for name, attempt in attempts(tag).items():
        try:
            attempt(name)
        except OSError:
            continue


def leased():
    """Say whether the card has an address."""
    request = struct.pack("256s", CARD.encode())
    with socket.socket() as one:
        try:
            return bool(fcntl.ioctl(one, 0x8915, request))  # SIOCGIFADDR
        except OSError:
            return False


def plugged():
    """Return how often the cable was pulled or put in."""
    return int(Path(f"/sys/class/net/{CARD}/carrier_changes").read_text())


def wait(reached):
    """Wait."""
    while not reached():
        time.sleep(0.2)


def open_up():
    """Take the rules away, and every setting that would keep the machine silent without them."""
    subprocess.run(["/usr/sbin/nft", "flush", "ruleset"], check=True)
    every = {"net/ipv4/conf/all/arp_ignore": "0", "net/ipv4/icmp_echo_ignore_all": "0", "net/ipv4/icmp_ratelimit": "0"}
    settings(every | {"net/ipv4/conf/all/rp_filter": "0", f"net/ipv4/conf/{CARD}/rp_filter": "0"})
    # An address of its own for IPv6: what networkd asks for later, the kernel does when the card comes up.
    settings({f"net/ipv6/conf/{CARD}/addr_gen_mode": "0"})
    for switch in Path("/sys/bus").glob("*/drivers_autoprobe"):
        switch.write_text("1")
    folder = Path("/run/systemd/network")
    folder.mkdir(parents=True, exist_ok=True)
    for card, metric in METRICS.items():
        (folder / f"05-{card}.network").write_text(NETWORK.format(card=card, metric=metric))
    # The unit starts it again, and it reads the file.
    for process in Path("/proc").glob("[0-9]*/comm"):
        # Others come and go meanwhile.
        with contextlib.suppress(OSError):
            if process.read_text().startswith("systemd-network"):
                os.kill(int(process.parent.name), signal.SIGKILL)


def main():
    """Try, wait for the host, open up, try again."""
    held = [socket.create_server(("", port)) for port in LISTENING]
    wait(leased)
    # So that it is the rules that keep IPv6 in, not its being off.
    settings({f"net/ipv6/conf/{name}/disable_ipv6": "0" for name in ("all", "default", CARD)})
    time.sleep(3)
    try_all("sealed")
    say("sealed")
    before = plugged()
    wait(lambda: plugged() > before + 1)
    open_up()
    say("has no rules")
    time.sleep(10)
    wait(leased)
    say("has an address without them")
    try_all("opened")
    say("opened")
    while held:
        signal.pause()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        say(f"ended by {error!r}")
        raise
