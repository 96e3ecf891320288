"""What a frame from a VM is, judged by the frames alone: a reply of the service, DHCP, address resolution, or a leak.

The judge takes nothing on trust: a reply is one only if the capture shows what it replies to.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.e2e.lockdown.network.dhcp import options
from tests.e2e.lockdown.network.wire import Seen

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
TCP, UDP, ICMP = 6, 17, 1
SYN_ACK = 0x12
_NAMES = {ARP: "ARP", IPV4: "IPv4", IPV6: "IPv6", 0x8100: "VLAN", 0x8035: "RARP", 0x88CC: "LLDP"}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", TCP: "TCP", UDP: "UDP"}
_BROADCAST = b"\xff" * 6
# An Ethernet header and the address resolution itself; a card may fill up with zeros to the shortest frame (60).
_PLAIN_ARP, _SHORTEST = 42, 60
# What networkd tells: kind, wanted address, server, list of wanted options, longest message, the client
# (its card), and that it would take a short cut. Nothing says more of the machine.
_DHCP_OPTIONS = {50, 53, 54, 55, 57, 61, 80}


class Leak(Exception):  # noqa: N818 - what is found, not what went wrong
    """A frame that nobody asked for, or that says more than it must."""


@dataclass(frozen=True, slots=True)
class Ip:
    """An IPv4 packet: addresses, protocol, and what is in it."""

    source: str
    target: str
    protocol: int
    payload: bytes
    plain: bool
    """Neither a fragment nor with options."""

    @property
    def ports(self) -> tuple[int, int]:
        """Source and target port of TCP or UDP; zeros where there is no room for them."""
        return struct.unpack_from("!HH", self.payload) if len(self.payload) >= 4 else (0, 0)

    @property
    def flow(self) -> tuple[str, int, str, int]:
        """Who speaks to whom."""
        return self.source, self.ports[0], self.target, self.ports[1]


def ethertype(frame: bytes) -> int:
    """Return what the frame carries."""
    return int.from_bytes(frame[12:14], "big")


def ip(frame: bytes) -> Ip | None:
    """Return the frame's IPv4 packet; None where there is none, or half of one."""
    if ethertype(frame) != IPV4 or len(frame) < 34 or frame[14] >> 4 != 4:
        return None
    header, size = (frame[14] & 15) * 4, int.from_bytes(frame[16:18], "big")
    fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
    addresses = (socket.inet_ntoa(frame[at : at + 4]) for at in (26, 30))
    whole = 20 <= header <= size <= len(frame) - 14
    plain = whole and header == 20 and not fragment and not any(frame[14 + size :])
    return Ip(*addresses, frame[23], frame[14 + header : 14 + size], plain)


def tcp_flags(packet: Ip) -> int:
    """Return the flags of a TCP segment."""
    return packet.payload[13] if packet.protocol == TCP and len(packet.payload) >= 20 else 0


def describe(frame: bytes) -> str:
    """Say what a frame is, for a person."""
    kind = ethertype(frame)
    name = _NAMES.get(kind, f"ethertype {kind:#06x}")
    if (packet := ip(frame)) is not None:
        name = _PROTOCOLS.get(packet.protocol, f"IP protocol {packet.protocol}")
        ports = packet.ports if packet.protocol in {TCP, UDP} else ("", "")
        name += f" {packet.source}:{ports[0]} > {packet.target}:{ports[1]}"
    return f"{name}, {len(frame)} bytes: {frame[:80].hex()}"


@dataclass
class Judge:
    """Follows a capture, in order; ``kinds`` counts what the VM sent, ``leaks`` says what it should not have."""

    mac: bytes
    port: int
    kinds: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    _flows: set[tuple[str, int, str, int]] = field(default_factory=set)
    _speakers: set[bytes] = field(default_factory=set)
    _asked: set[tuple[bytes, bytes]] = field(default_factory=set)

    def follow(self, seen: Iterable[Seen]) -> Judge:
        """Judge what the VM sent in the light of what it was sent before."""
        for item in seen:
            if not item.from_vm:
                self._remember(item.data)
                continue
            try:
                self.kinds[self._kind(item.data)] += 1
            except Leak as leak:
                self.leaks.append(f"{leak}: {describe(item.data)}")
        return self

    def require_none(self) -> Judge:
        """Fail when anything leaked, with the first few."""
        if self.leaks:
            raise AssertionError(f"{len(self.leaks)} frames should not have left:\n" + "\n".join(self.leaks[:20]))
        return self

    def _remember(self, frame: bytes) -> None:
        if (packet := ip(frame)) is not None:
            self._speakers.add(socket.inet_aton(packet.source))
            if packet.protocol == TCP:
                self._flows.add(packet.flow)
            elif packet.protocol == UDP and packet.ports == (67, 68):
                # The router that a server names is somebody to speak to.
                with contextlib.suppress(ValueError, IndexError):
                    self._speakers.add(options(packet.payload[8:]).get(3, b""))
        elif ethertype(frame) == ARP:
            self._speakers.add(frame[28:32])
            self._asked.add((frame[28:32], frame[38:42]))

    def _kind(self, frame: bytes) -> str:
        if frame[6:12] != self.mac:
            raise Leak("another sender than the network card")
        if ethertype(frame) == ARP:
            return self._resolution(frame)
        packet = ip(frame)
        if packet is None or not packet.plain:
            raise Leak("neither address resolution nor a plain IPv4 packet")
        if packet.protocol == UDP and packet.ports == (68, 67):
            return self._lease(packet)
        source, source_port, target, target_port = packet.flow
        if packet.protocol != TCP or source_port != self.port:
            raise Leak("no reply of the service")
        if (target, target_port, source, source_port) not in self._flows:
            raise Leak("nobody sent what this replies to")
        return "service"

    def _resolution(self, frame: bytes) -> str:
        head, operation, sender, target = frame[14:20], frame[20:22], frame[22:28], frame[32:38]
        if not _PLAIN_ARP <= len(frame) <= _SHORTEST or any(frame[_PLAIN_ARP:]):
            raise Leak("address resolution with luggage")
        if head != b"\0\1\x08\0\6\4" or sender != self.mac:
            raise Leak("address resolution of another kind")
        if operation == b"\0\1" and target == bytes(6) and frame[38:42] in self._speakers:
            return "ARP request"
        if operation == b"\0\2" and target == frame[:6] and (frame[38:42], frame[28:32]) in self._asked:
            return "ARP reply"
        raise Leak("address resolution that nobody needs")

    def _lease(self, packet: Ip) -> str:
        message = packet.payload[8:]
        try:
            told = options(message)
        except (ValueError, IndexError) as error:
            raise Leak(f"from the DHCP client's port ({error})") from error
        # No transaction: request, Ethernet, own address or none, no server's or relay's; names and files empty.
        if message[:4] != b"\1\1\6\0" or any(message[16:28]) or message[28:34] != self.mac or any(message[34:236]):
            raise Leak("a DHCP message that says more than it must")
        if told.get(61, b"\1" + self.mac) != b"\1" + self.mac:
            raise Leak("a DHCP client that names itself")
        if told.get(80):
            raise Leak("DHCP with luggage in an empty option")
        if unknown := set(told) - _DHCP_OPTIONS:
            raise Leak(f"DHCP options {sorted(unknown)}")
        return "DHCP"


def answered_ports(seen: Iterable[Seen]) -> set[int]:
    """Return the TCP ports from which the VM accepted a connection."""
    packets = (ip(item.data) for item in seen if item.from_vm)
    return {packet.ports[0] for packet in packets if packet and tcp_flags(packet) & SYN_ACK == SYN_ACK}


def asked_ports(seen: Iterable[Seen], protocol: int) -> set[int]:
    """Return the ports that the VM was asked on, as the capture has it."""
    packets = (ip(item.data) for item in seen if not item.from_vm)
    return {packet.ports[1] for packet in packets if packet and packet.protocol == protocol}
