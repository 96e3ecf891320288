"""What an attacker on a VM's cable can send it: frames by hand, so that no kernel here decides what they may be."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from tests.e2e.lockdown.network.frames import ARP, ICMP, IPV4, IPV6, TCP, UDP

FIN, SYN, RST, PUSH, ACK, URGENT = 1, 2, 4, 8, 16, 32
BROADCAST = b"\xff" * 6
ALL_TCP = range(1, 65536)
# From where the service is asked in between, every 4,096 ports.
HEARTBEATS = range(41001, 41016)
# The ports below 1024, and those above on which something is usually found.
UDP_PORTS = (
    *range(1, 1024),
    *(1194, 1434, 1645, 1646, 1701, 1718, 1719, 1812, 1813, 1900, 2000, 2048, 2049, 2222, 2302, 3283, 3478, 3702, 4045),
    *(4444, 4500, 4789, 5000, 5004, 5005, 5060, 5061, 5093, 5349, 5351, 5353, 5355, 5540, 5632, 5683, 5684, 6000, 6081),
    *(6346, 6881, 7946, 8080, 8125, 8443, 8472, 9000, 9993, 9999, 10000, 10161, 11211, 17185, 19132, 20000, 26000),
    *(27015, 27960, 30718, 31337, 32768, 34964, *range(33434, 33465), 41641, 44818, 47808, 49152, 51820, 54321, 65535),
)
# Whatever a state table makes of them: nobody began a connection that they could belong to.
STEALTH = {
    "NULL": 0,
    "FIN": FIN,
    "ACK": ACK,
    "RST": RST,
    "SYN and ACK": SYN | ACK,
    "SYN and FIN": SYN | FIN,
    "Xmas": FIN | PUSH | URGENT,
}
STEALTH_PORTS = (1, 22, 23, 53, 80, 111, 443, 2375, 5355, 8080, 8442, 8444, 9100, 10250, 65535)
ANYBODY = "fe80::5054:ff:fe99:9999"


@dataclass(frozen=True, slots=True)
class Ends:
    """Who speaks to whom: the host's end of a cable, and the VM's."""

    host_mac: bytes
    host: str
    vm_mac: bytes
    vm: str

    def ethernet(self, kind: int, body: bytes, *, to: bytes | None = None) -> bytes:
        """Frame something; cards fill up to 60 bytes."""
        return ((to or self.vm_mac) + self.host_mac + kind.to_bytes(2, "big") + body).ljust(60, b"\0")

    def packet(self, protocol: int, payload: bytes, *, source="", target="", fragment=0, more=b"", to=None) -> bytes:
        """Write an IPv4 packet, with options and as a fragment where told."""
        words = 5 + len(more) // 4
        head = struct.pack("!BBHHHBB", 0x40 | words, 0, words * 4 + len(payload), 77, fragment, 64, protocol)
        ends = socket.inet_aton(source or self.host) + socket.inet_aton(target or self.vm)
        check = checksum(head + b"\0\0" + ends + more)
        return self.ethernet(IPV4, head + check + ends + more + payload, to=to)

    def tcp(self, port: int, *, flags: int = SYN, source_port: int = 40000, payload=b"", **where) -> bytes:
        """Write a TCP segment."""
        ends = socket.inet_aton(where.get("source") or self.host) + socket.inet_aton(where.get("target") or self.vm)
        return self.packet(TCP, segment(ends, (source_port, port), flags, payload), **where)

    def udp(self, port: int, payload: bytes, *, source_port: int = 40000, **where) -> bytes:
        """Write a datagram; a checksum of zero is none."""
        head = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0)
        return self.packet(UDP, head + payload, **where)

    def icmp(self, kind: int, code: int = 0, body: bytes = b"\0\1\0\1probe", **where) -> bytes:
        """Write a control message."""
        check = checksum(bytes([kind, code, 0, 0]) + body)
        return self.packet(ICMP, bytes([kind, code]) + check + body, **where)

    def arp(self, target: str, *, operation=1, sender: str = "", hardware=1, to=BROADCAST) -> bytes:
        """Ask, or say, who has an address."""
        head = struct.pack("!HHBBH", hardware, IPV4, 6, 4, operation)
        own = self.host_mac + socket.inet_aton(sender or self.host)
        return self.ethernet(ARP, head + own + bytes(6) + socket.inet_aton(target), to=to)

    def ipv6(self, following: int, payload: bytes, target: str, *, source: str = ANYBODY, hops=255) -> bytes:
        """Write an IPv6 packet; ICMPv6 and TCP get their checksum."""
        ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
        at = {58: 2, TCP: 16}.get(following)
        if at is not None:
            sums = checksum(ends + struct.pack("!II", len(payload), following) + payload)
            payload = payload[:at] + sums + payload[at + 2 :]
        to = b"\x33\x33" + ends[-4:] if ends[16] == 0xFF else self.vm_mac
        return self.ethernet(IPV6, struct.pack("!IHBB", 6 << 28, len(payload), following, hops) + ends + payload, to=to)

    @property
    def link_local(self) -> str:
        """The address that an IPv6 stack makes of the VM's card (RFC 4291, appendix A)."""
        mac = self.vm_mac
        return socket.inet_ntop(
            socket.AF_INET6, b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
        )


def checksum(data: bytes) -> bytes:
    """Sum as IP does (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)


def segment(ends: bytes, ports: tuple[int, int], flags: int, payload: bytes = b"") -> bytes:
    """Write a TCP segment between two IPv4 addresses."""
    head = struct.pack("!HHIIBB", *ports, 1, 0, 5 << 4, flags)
    pseudo = ends + struct.pack("!HH", TCP, 20 + len(payload))
    check = checksum(pseudo + head + struct.pack("!HHH", 1024, 0, 0) + payload)
    return head + struct.pack("!H", 1024) + check + b"\0\0" + payload


def every_tcp_port(ends: Ends, service: int) -> list[bytes]:
    """A SYN to each port, and one to the service every 4,096: as long as those are answered, the VM reads."""
    frames = []
    for port in ALL_TCP:
        frames.append(ends.tcp(port))
        if port % 4096 == 0:
            frames.append(ends.tcp(service, source_port=HEARTBEATS[port // 4096 - 1]))
    return frames


def udp_ports(ends: Ends) -> list[bytes]:
    """Something for every port of the list, from an ordinary port and from that of a DHCP server."""
    return [ends.udp(port, b"probe", source_port=source) for source in (40000, 67) for port in UDP_PORTS]


def stealth(ends: Ends) -> list[bytes]:
    """Segments that belong to no connection."""
    return [ends.tcp(port, flags=flags, source_port=42000) for flags in STEALTH.values() for port in STEALTH_PORTS]


def control_messages(ends: Ends) -> list[bytes]:
    """Every type of ICMP, and the redirect, the errors and the questions (time, mask, router) as they are meant."""
    inner = ends.packet(TCP, bytes(8), source=ends.vm, target=ends.host)[14:42]
    gateway = socket.inet_aton("10.0.2.66")
    meant = [
        *(ends.icmp(5, code, gateway + inner) for code in range(4)),
        *(ends.icmp(3, code, bytes(4) + inner) for code in range(16)),
        ends.icmp(3, 4, struct.pack("!HH", 0, 68) + inner),
        ends.icmp(9, 0, b"\1\2\7\x08" + gateway + bytes(4)),
        ends.icmp(13, 0, bytes(16)),
        ends.icmp(17, 0, bytes(8)),
        *(ends.icmp(8, target=every, to=BROADCAST) for every in ("255.255.255.255", "224.0.0.1")),
    ]
    return [ends.icmp(kind) for kind in range(256)] + meant


def every_protocol(ends: Ends) -> list[bytes]:
    """Every protocol number of IPv4: a stack says of those that it does not know that it does not."""
    return [ends.packet(number, b"\x11\0" + bytes(30)) for number in range(256) if number not in {TCP, UDP, ICMP}]


def strange_packets(ends: Ends, service: int) -> list[bytes]:
    """Ways round a filter of ports: fragments, options, tags, and addresses that nobody has."""
    syn = ends.tcp(22)[34:54]
    tagged = struct.pack("!HH", 5, IPV4) + ends.tcp(service, source_port=43001)[14:]
    source_route = b"\x83\x07\x04" + socket.inet_aton(ends.vm) + b"\0"
    nowhere = [f"{ends.vm.rsplit('.', 1)[0]}.255", "127.0.0.1", "255.255.255.255", "224.0.0.1", "0.0.0.0"]  # noqa: S104 - a target
    return [
        ends.packet(TCP, syn[:8], fragment=0x2000),
        ends.packet(TCP, syn[8:], fragment=1),
        ends.packet(TCP, syn[8:] + bytes(8), fragment=0x2003),
        ends.packet(TCP, syn, more=source_route),
        *(ends.ethernet(kind, tagged) for kind in (0x8100, 0x88A8)),
        *(ends.tcp(22, target=target, to=BROADCAST, source_port=43002) for target in nowhere),
        *(ends.tcp(22, source=source, source_port=43003) for source in (ends.vm, "127.0.0.1", "0.0.0.0", "224.0.0.1")),  # noqa: S104 - a source
        ends.tcp(22, payload=b"data with the first segment", source_port=43004),
    ]


def discovery(ends: Ends) -> list[bytes]:
    """What finds machines on a network: names, services, neighbours, and who has which address."""
    name = b"\0\0\0\0\0\1\0\0\0\0\0\0\7vitrine\5local\0\0\xff\0\1"
    subnet, groups = ends.vm.rsplit(".", 1)[0], "239.255.255.250"
    asked = {5353: "224.0.0.251", 5355: "224.0.0.252", 1900: groups, 3702: groups, 137: f"{subnet}.255"}
    others = [f"{subnet}.{number}" for number in range(256) if f"{subnet}.{number}" != ends.vm]
    others += ["127.0.0.1", "0.0.0.0", "255.255.255.255", "169.254.169.254", "10.128.0.1"]  # noqa: S104 - asked for
    return [
        *(ends.udp(port, name, target=target, to=BROADCAST) for port, target in asked.items()),
        *(ends.arp(other) for other in others),
        *(ends.arp(ends.vm, hardware=kind) for kind in (6, 7, 15)),
        *(ends.arp(ends.vm, operation=kind) for kind in (3, 5, 8, 10, 23)),
        *(ends.ethernet(kind, bytes(46), to=BROADCAST) for kind in (0x0805, 0x22EA, 0x8035, 0x8863, 0x888E, 0x88B5)),
        ends.ethernet(0x88CC, b"\2\7\4" + ends.host_mac + bytes(37), to=bytes.fromhex("0180c200000e")),
    ]


def ipv6(ends: Ends, service: int) -> list[bytes]:
    """Neighbours, routers, pings and ports of IPv6, at the address that the VM's card would have."""
    own, everybody = ends.link_local, "ff02::1"
    raw = socket.inet_pton(socket.AF_INET6, own)
    solicited = "ff02::1:ff" + own[-7:]
    ask = b"\x87\0\0\0" + bytes(4) + raw + b"\1\1" + ends.host_mac
    hello = b"\x80\0\0\0\0\1\0\1probe"
    return [
        *(ends.ipv6(58, ask, target) for target in (solicited, own, everybody)),
        *(ends.ipv6(58, hello, target) for target in (everybody, "ff02::2", "ff02::fb", own)),
        ends.ipv6(58, b"\x82\0\0\0\0\0\0\0" + bytes(16), everybody, hops=1),
        ends.ipv6(58, b"\x85\0\0\0\0\0\0\0", "ff02::2"),
        router_advertisement(ends),
        *(ends.ipv6(TCP, _segment6(port), own) for port in (22, 80, service)),
        *(ends.ipv6(UDP, struct.pack("!HHHH", 40000, port, 13, 0) + b"probe", own) for port in (53, 546, 5353)),
        *(ends.ipv6(number, bytes(16), own) for number in (0, 43, 44, 50, 60, 99)),
    ]


def router_advertisement(ends: Ends) -> bytes:
    """Offer a prefix, a default route, a name server, a search domain, an MTU, and DHCPv6 for more (RFC 4861, 8106)."""
    prefix, server = (socket.inet_pton(socket.AF_INET6, text) for text in ("2001:db8:66::", "2001:db8:66::53"))
    offered = [
        b"\1\1" + ends.host_mac,
        b"\3\4\x40\xc0" + struct.pack("!III", 86400, 86400, 0) + prefix,
        b"\5\1\0\0" + struct.pack("!I", 1280),
        b"\x19\3\0\0" + struct.pack("!I", 3600) + server,
        b"\x1f\3\0\0" + struct.pack("!I", 3600) + b"\5local\0".ljust(16, b"\0"),
        b"\x18\2\x08\x08" + struct.pack("!I", 3600) + bytes(8),
    ]
    return ends.ipv6(58, b"\x86\0\0\0\x40\xc8" + struct.pack("!HII", 1800, 0, 0) + b"".join(offered), "ff02::1")


def _segment6(port: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, SYN, 1024, 0, 0)
