"""The guest's memory as its host has it: read, written, and which page is mapped by which process.

On this platform the host may do all of that. Addresses are the guest's physical ones: offsets in its one block of RAM.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.clouds.qmp import Address, Qmp
from tests.e2e.machine import Machine

PAGE = 4096
_CHUNK = 1 << 16
_FRAME = 0x000F_FFFF_FFFF_F000
_PRESENT, _WRITABLE, _USER, _LARGE = 1, 2, 4, 0x80
_FIVE_LEVELS = 1 << 12
_STACKS = 0x7F00_0000_0000
PROCESSES = ("serving.gateway", "serving.engines", "serving.attest", "/sbin/init")


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a running QEMU's guest; ``base`` is where QEMU has mapped it."""

    pid: int
    base: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield all of it."""
        with Path(f"/proc/{self.pid}/mem").open("rb", 0) as file:
            file.seek(self.base)
            for _ in range(0, self.size, _CHUNK):
                yield file.read(_CHUNK)

    def write(self, address: int, data: bytes) -> None:
        """Put bytes there, under the guest's feet."""
        assert 0 <= address <= self.size - len(data)
        with Path(f"/proc/{self.pid}/mem").open("r+b", 0) as file:
            file.seek(self.base + address)
            file.write(data)


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """What one process has mapped: physical page to virtual address, and which of these it may write to."""

    name: str
    pages: Mapping[int, int]
    writable: frozenset[int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The memory at one instant, with the register that names the page tables, and how many levels these have."""

    data: bytes = field(repr=False)
    root: int
    levels: int

    def chunks(self) -> Iterator[bytes]:
        """Yield it in pieces, most of which are zeros."""
        return (self.data[at : at + _CHUNK] for at in range(0, len(self.data), _CHUNK))


def memory_of(vm: Machine, size: int = 1 << 30) -> Memory:
    """Find the guest's RAM in QEMU: the one mapping of that size."""
    found = [
        int(line.split("-")[0], 16)
        for line in Path(f"/proc/{vm.vm.pid}/maps").read_text().splitlines()
        if int(line.split()[0].split("-")[1], 16) - int(line.split("-")[0], 16) == size
    ]
    assert len(found) == 1, f"{len(found)} mappings of QEMU's could be the guest's memory"
    return Memory(vm.vm.pid, found[0], size)


@contextmanager
def stopped(vm: Machine) -> Iterator[Qmp]:
    """Hold the guest still."""
    with Qmp(Address(vm.vm.directory / "qmp.sock", 60)) as qmp:
        qmp.execute("stop")
        try:
            yield qmp
        finally:
            qmp.execute("cont")


def snapshot(vm: Machine) -> Snapshot:
    """Copy the memory."""
    with stopped(vm) as qmp:
        registers = qmp.execute("human-monitor-command", {"command-line": "info registers"})
        data = b"".join(memory_of(vm).chunks())
    root, four = (int(re.search(rf"{name}=([0-9a-f]+)", registers)[1], 16) for name in ("CR3", "CR4"))
    return Snapshot(data, root & _FRAME, 5 if four & _FIVE_LEVELS else 4)


def address_spaces(taken: Snapshot) -> tuple[AddressSpace, ...]:
    """Find the processes of ``PROCESSES``: every page table whose kernel half is that of the one in use."""
    data, half = taken.data, PAGE // 2
    kernel = data[taken.root + half : taken.root + PAGE]
    roots = [at for at in range(0, len(data), PAGE) if data[at + half : at + PAGE] == kernel]
    spaces = [dict(_mapped(taken, root)) for root in roots]
    return tuple(filter(None, (_named(data, leaves) for leaves in spaces)))


def owner(spaces: tuple[AddressSpace, ...], address: int) -> str:
    """Return whose page holds that byte; what none of the processes has mapped is the kernel's, or nobody's."""
    page = address - address % PAGE
    return next((space.name for space in spaces if page in space.pages), "kernel or free")


def _named(data: bytes, leaves: Mapping[int, tuple[int, int]]) -> AddressSpace | None:
    """Name a process by the arguments on its stack; None where it is none of ours."""
    stack = [page for page, (virtual, _) in leaves.items() if virtual >= _STACKS]
    for name in PROCESSES:
        words = b"\0" + name.encode() + b"\0"
        if any(words in data[page : page + PAGE] for page in stack):
            pages = {page: virtual for page, (virtual, _) in leaves.items()}
            return AddressSpace(name, pages, frozenset(page for page, (_, e) in leaves.items() if e & _WRITABLE))
    return None


def _mapped(taken: Snapshot, root: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield (page, (virtual address, entry)) for what user code may reach through a page table."""
    tables = [(root, 0)]
    for level in range(taken.levels, 1, -1):
        below = []
        for table, virtual in tables:
            for i, entry in enumerate(_entries(taken.data, table)[: 256 if level == taken.levels else 512]):
                here, target = virtual | i << (12 + 9 * (level - 1)), entry & _FRAME
                if entry & (_PRESENT | _USER) != _PRESENT | _USER or target >= len(taken.data):
                    continue
                if level == 2 and entry & _LARGE:
                    first = target - target % (512 * PAGE)
                    yield from ((first + n * PAGE, (here + n * PAGE, entry)) for n in range(512))
                elif not entry & _LARGE:
                    below.append((target, here))
        tables = below
    for table, virtual in tables:
        for i, entry in enumerate(_entries(taken.data, table)):
            if entry & (_PRESENT | _USER) == _PRESENT | _USER and entry & _FRAME < len(taken.data):
                yield entry & _FRAME, (virtual | i << 12, entry)


def _entries(data: bytes, table: int) -> tuple[int, ...]:
    return struct.unpack_from("<512Q", data, table)
