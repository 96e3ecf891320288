"""closed_port.py FOLDER: leads a port of this machine to one that the VM does not serve, and counts the frames of both.

The service's own port is the positive control: what it answers is counted in the same way.
"""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

from provisioner.clouds.qmp import Address, Qmp

CLOSED, TRIES = 22, 3


def segments(capture: Path, port: int) -> tuple[int, int]:
    """Count TCP segments to a port of the VM and from it, in a classic pcap of Ethernet frames."""
    data, at, to, away = capture.read_bytes(), 24, 0, 0
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        frame, at = data[at + 16 : at + 16 + length], at + 16 + length
        if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
            source, target = struct.unpack_from(">HH", frame, 14 + 4 * (frame[14] & 15))
            to, away = to + (target == port), away + (source == port)
    return to, away


def knock(port: int) -> None:
    """Connect and wait for a moment; what QEMU says of the connection proves nothing, frames do."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as sent:
        sent.settimeout(2)
        sent.recv(1)


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main(folder: Path) -> None:
    """Print how many segments went in and came out."""
    capture, ports = folder / "closed_port.pcap", {CLOSED: free_port(), 8443: free_port()}
    with Qmp(Address(folder / "qmp.sock", 30)) as host:
        host.execute("object-add", {"qom-type": "filter-dump", "id": "closed", "netdev": "net", "file": str(capture)})
        for inside, port in ports.items():
            told = f"hostfwd_add net tcp:127.0.0.1:{port}-:{inside}"
            host.execute("human-monitor-command", {"command-line": told})
        for port in ports.values():
            for _ in range(TRIES):
                knock(port)
        for port in ports.values():
            host.execute("human-monitor-command", {"command-line": f"hostfwd_remove net tcp:127.0.0.1:{port}"})
        host.execute("object-del", {"id": "closed"})
    to, away = segments(capture, CLOSED)
    answered = segments(capture, 8443)[1] > 0
    capture.unlink()
    control = "the service answered" if answered else "and the service neither: no control"
    sys.stdout.write(f"{to} in, {away} out; {control}\n")


main(Path(sys.argv[1]))
