"""The image's VMs on a cable of the host's: restored or booted, with DHCP, and judged by what the cable carried."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.clouds import QemuCloud
from provisioner.clouds.qmp import Address, Qmp
from provisioner.plan import Plan
from tests.e2e import machine
from tests.e2e.lockdown.network import probes
from tests.e2e.lockdown.network.dhcp import ACK, Lease, options, serving
from tests.e2e.lockdown.network.frames import UDP, Judge, ip
from tests.e2e.lockdown.network.probes import Ends
from tests.e2e.lockdown.network.wire import Cable, Namespace
from tests.e2e.machine import Machine
from tests.snapshot import restore

# What QEMU's own network said to the VM before it was saved: the cable goes on where that was.
ROUTER, ROUTER_MAC, VM = "10.0.2.2", bytes.fromhex("52550a000202"), "10.0.2.15"
# QEMU's name for the first card, for the next one, and for one that is put in later.
VM_MAC, SECOND_MAC, OTHER_MAC = (bytes.fromhex(f"52540012345{last}") for last in (6, 7, 8))
SERVICE = 8443
# Somebody behind the router, and whom a hostile host names as the way there.
ELSEWHERE, FALSE_ROUTER = "198.51.100.7", "10.0.2.66"
DHCP_PORTS = (68, 67)
CARD = "virtio-net-pci,netdev=net,romfile="
# The same where it can be pulled out of the running machine.
SLOT = "pcie-root-port,id=socket0,chassis=1"
PULLABLE = (SLOT, "-device", f"{CARD},bus=socket0,id=card,mac={VM_MAC.hex(':')}")


@dataclass(frozen=True, slots=True)
class Lan:
    """A cable, its DHCP server, and who is at its ends."""

    cable: Cable
    lease: Lease

    @property
    def namespace(self) -> Namespace:
        return self.cable.namespace

    @property
    def ends(self) -> Ends:
        return Ends(self.cable.mac, self.cable.address, VM_MAC, self.lease.address)

    @property
    def origin(self) -> str:
        """Where the service is, for who is on this network."""
        return f"https://{self.lease.address}:{SERVICE}"

    def judge(self) -> Judge:
        """Judge the whole capture, and fail where it is not whole."""
        self.cable.require_whole()
        return Judge(VM_MAC, SERVICE).follow(list(self.cable.seen))

    def probe(self, frames: list[bytes], *, settle: float = 1.0) -> int:
        """Send frames and let the answers arrive; return the number of the first frame of all that."""
        first = len(self.cable.seen)
        self.cable.send(frames)
        time.sleep(settle)
        return first

    def probe_everything(self) -> Counter[str]:
        """Send all probes; return how many there were of each kind."""
        ends = self.ends
        rounds = {
            "SYNs to 65,535 ports": probes.every_tcp_port(ends, SERVICE),
            "datagrams": probes.udp_ports(ends),
            "stealth segments": probes.stealth(ends),
            "ICMP": probes.control_messages(ends),
            "IP protocols": probes.every_protocol(ends),
            "strange packets": probes.strange_packets(ends, SERVICE),
            "ARP and discovery": probes.discovery(ends),
            "of IPv6": probes.ipv6(ends, SERVICE),
        }
        for frames in rounds.values():
            self.probe(frames)
        return Counter({name: len(frames) for name, frames in rounds.items()})

    def clone(self, deployment, root: Path, name: str) -> Machine:
        """Restore the deployment's saved VM with this cable in its card."""
        plan = self._planned(deployment, root, name)
        # The saved state has a part about QEMU's own network: something must be there to take it. No card is in it.
        plan = replace(plan, qemu=(*plan.qemu, "-netdev", "user,id=saved,restrict=on"))
        with self.namespace.entered():
            restore(QemuCloud(root), plan, deployment.saved, progress=print)
        return Machine(root, name, self.origin)

    def renew(self, vm: Machine) -> None:
        """Let the VM take a lease anew."""
        before = self.lease.answered.count(ACK)
        replug(vm)
        until(lambda: self.lease.answered.count(ACK) > before, seconds=60, what="a lease is taken")

    def boot(self, deployment, root: Path, name: str, *, image: Path | None = None, extra=(), card=(CARD,)) -> Machine:
        """Start a VM from nothing with this cable in its card; return while it boots."""
        plan = self._planned(deployment, root, name, image=image)
        words = (one for word in plan.qemu for one in (card if word == CARD else (word,)))
        with self.namespace.entered():
            QemuCloud(root).apply(replace(plan, qemu=(*words, *extra)), progress=print)
        return Machine(root, name, self.origin)

    def _planned(self, deployment, root: Path, name: str, *, image: Path | None = None) -> Plan:
        machine.published_copy(deployment.root, root)
        plan = machine.planned(machine.spec_of(image or deployment.image, root, name), root)
        words = tuple(f"{self.cable.netdev},id=net" if word.startswith("user,id=net,") else word for word in plan.qemu)
        assert words != plan.qemu, "the plan has no network to exchange"
        return replace(plan, qemu=words)

    def answer_to_elsewhere(self) -> tuple[bytes, set[str]]:
        """Ask the service from another network; return its first answer's frame, and which neighbours it looked for."""
        port = 44000 + len(self.cable.seen) % 1000
        first = self.probe([self.ends.tcp(SERVICE, source=ELSEWHERE, source_port=port)])
        until(lambda: self.segments(first), seconds=10, what="an answer to another network")
        frames = (item.data for item in self.cable.from_vm(first))
        answers = (frame for frame in frames if (packet := ip(frame)) and packet.target == ELSEWHERE)
        return next(answers), self.resolved(first)

    def requests(self, first: int = 0) -> list[dict[int, bytes]]:
        """Return the options of every DHCP message that the VM sent."""
        packets = (ip(item.data) for item in self.cable.from_vm(first))
        asked = [packet for packet in packets if packet and packet.protocol == UDP and packet.ports == DHCP_PORTS]
        return [options(packet.payload[8:]) for packet in asked]

    def segments(self, first: int, port: int = SERVICE) -> list[bytes]:
        """Return the TCP segments that came from a port of the VM."""
        packets = (ip(item.data) for item in self.cable.from_vm(first))
        return [packet.payload for packet in packets if packet and packet.protocol == 6 and packet.ports[0] == port]

    def resolved(self, first: int) -> set[str]:
        """Return the addresses that the VM asked for."""
        frames = (item.data for item in self.cable.from_vm(first))
        asked = (frame for frame in frames if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1")
        return {socket.inet_ntoa(frame[38:42]) for frame in asked}


@contextlib.contextmanager
def lan(
    name: str = "tap0", router: str = ROUTER, address: str = VM, namespace: Namespace | None = None
) -> Iterator[Lan]:
    """Lay a cable and lease on it."""
    space = namespace or Namespace()
    cable = Cable(space, name, ROUTER_MAC[:4] + bytes([int(router.split(".")[2]), 2]), router)
    # The false router is there, and says so to who looks for it.
    space.run("ip", "address", "add", f"{FALSE_ROUTER}/32", "dev", name)
    try:
        with serving(cable, Lease(address, router)) as lease:
            yield Lan(cable, lease)
    finally:
        cable.close()
        if namespace is None:
            space.close()


def qmp(vm: Machine) -> Qmp:
    """Speak to the QEMU of a VM."""
    return Qmp(Address(vm.cloud.store.folder(vm.name) / "qmp.sock"))


def replug(vm: Machine, *, seconds: float = 2.0) -> None:
    """Pull the cable out of the VM's card and put it in again: it asks for an address anew."""
    with qmp(vm) as connection:
        connection.execute("set_link", {"name": "net", "up": False})
        time.sleep(seconds)
        connection.execute("set_link", {"name": "net", "up": True})


def exchange(vm: Machine) -> bool:
    """Pull the card out of the running VM and put another in its place; say whether the guest let go of the first."""
    with qmp(vm) as connection:
        connection.execute("device_del", {"id": "card"})
        deadline = time.monotonic() + 30
        while _there(connection):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        told = {"driver": "virtio-net-pci", "id": "other", "netdev": "net", "bus": "socket0", "romfile": ""}
        connection.execute("device_add", {**told, "mac": OTHER_MAC.hex(":")})
        return True


def _there(connection: Qmp) -> bool:
    return any(device["name"] == "card" for device in connection.execute("qom-list", {"path": "/machine/peripheral"}))


def says(vm: Machine, words: str, *, seconds: float) -> None:
    """Wait until the VM's console says something; fail with what it says instead."""
    deadline = time.monotonic() + seconds
    while words not in vm.console():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {words}; the console: {vm.console()[-2000:]}"
        time.sleep(0.5)


def until(reached, *, seconds: float, what: str) -> None:
    """Wait for something; fail when it does not happen."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
