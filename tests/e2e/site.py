"""Where a pretended cloud's machines are: each is a real VM of this machine, booted from the disks that were uploaded.

The fake calls ``start`` when a machine runs and ``stop`` when it is gone; in between, the address that the cloud told
leads to the VM. Its TPM is prepared as that cloud prepares one, under the CA that is the cloud's at that moment.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from provisioner.clouds.qemu import QemuVm
from provisioner.image.artefacts import open_image
from provisioner.image.firmware import firmware
from provisioner.spec import VmSpec
from tests.e2e.machine import CACHE, PreparingCloud, planned
from tests.fakes.cloud_tpm import CloudCa, make_ca
from tests.ports import free_port

LIFE_SECONDS = 1800.0  # no VM lives longer, whatever becomes of the test that wanted it
_CHUNK = 1 << 16
Disk = Callable[[Path], None]  # writes a disk's bytes to a file


class Forward:
    """Passes TCP through from one address to a port of this machine, which may change; to none at all, it hangs up."""

    def __init__(self, address: str, port: int) -> None:
        self.where = (address, port)
        self.target: int | None = None
        self._listener = socket.create_server((address, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client, self.target), daemon=True).start()

    def _pass(self, client: socket.socket, target: int | None) -> None:
        with client, contextlib.suppress(OSError):
            if target is None:
                return
            with socket.create_connection(("127.0.0.1", target), timeout=20) as server:
                server.settimeout(None)
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@dataclass(slots=True)
class Running:
    """One machine: its VM's cloud and name, what it booted from, and the way to it. ``ready`` is set when QEMU runs."""

    name: str
    cloud: PreparingCloud
    way: Forward
    boot: Path
    model: Path
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def vm(self) -> QemuVm | None:
        return self.cloud.find(self.name)


@dataclass
class Site:
    """All machines of one pretended cloud. ``prepare`` makes a TPM like the cloud's, ``ca`` certifies what is in it."""

    folder: Path
    image: Path
    prepare: Callable[[Path, CloudCa], None]
    ca: CloudCa = field(default_factory=lambda: make_ca("the pretended cloud"))
    running: dict[str, Running] = field(default_factory=dict)
    booted: int = 0
    errors: list[Exception] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _timers: list[threading.Timer] = field(default_factory=list)

    def start(self, name: str, disks: tuple[Disk, Disk], address: str, port: int) -> None:
        """Boot a machine, behind the caller's back: a cloud answers before its machine is up."""
        self.booted += 1
        root, ca = self.folder / f"{self.booted}-{name}", self.ca
        cloud = PreparingCloud(root, prepare=lambda state: self.prepare(state, ca))
        made = Running(name, cloud, Forward(address, port), root / "boot.raw", root / "model.raw")
        self.running[name] = made
        self._threads.append(threading.Thread(target=self._boot, args=(made, disks), daemon=True))
        self._threads[-1].start()

    def stop(self, name: str) -> None:
        """End a machine, and the way to it."""
        found = self.running.pop(name, None)
        if found is not None:
            found.way.close()
            found.ready.wait(120)
            found.cloud.destroy(name, progress=print)

    def move(self, name: str, where: tuple[str, int] | None) -> None:
        """Let a machine be reached at another place, or at none: what a balancer does that is changed."""
        found = self.running.get(name)
        if found is None or found.way.where == where:
            return
        found.way.close()
        if where is not None:
            way = Forward(*where)
            way.target, found.way = found.way.target, way

    def console(self, name: str) -> str:
        """Return what a machine wrote on its serial port."""
        return self.running[name].cloud.read_console(name)

    def close(self) -> None:
        """End all."""
        for timer in self._timers:
            timer.cancel()
        for name in list(self.running):
            self.stop(name)

    def _boot(self, made: Running, disks: tuple[Disk, Disk]) -> None:
        try:
            for write, path in zip(disks, (made.boot, made.model), strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path)
            root = made.cloud.root
            plan = planned(self._spec(made), root)
            made.cloud.apply(plan, progress=print)
            self._timers.append(threading.Timer(LIFE_SECONDS, self.stop, args=(made.name,)))
            self._timers[-1].daemon = True
            self._timers[-1].start()
            made.way.target = plan.port
        except Exception as error:  # noqa: BLE001, nobody waits for this thread: the test shows what it said
            self.errors.append(error)
        finally:
            made.ready.set()

    def _spec(self, made: Running) -> VmSpec:
        return VmSpec.from_vars(
            {
                "name": made.name,
                "boot_disk": str(made.boot),
                "model_disk": str(made.model),
                "gateway_port": open_image(self.image).service.port,
                "firmware": str(firmware(CACHE).code.parent),
                "port": free_port(),
            }
        )


def starts_with(disk: Path, file: Path) -> bool:
    """Say whether a disk is exactly a file's bytes, and zeros behind them; by SHA-256."""
    size = file.stat().st_size
    with disk.open("rb") as there, file.open("rb") as ours:
        same = _digest(there, size) == _digest(ours, size)
        rest = all(not any(block) for block in iter(lambda: there.read(1 << 20), b""))
    return same and rest


def _digest(file, size: int) -> str:
    digest = sha256()
    while size > 0:
        block = file.read(min(size, 1 << 20))
        if not block:
            break
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
