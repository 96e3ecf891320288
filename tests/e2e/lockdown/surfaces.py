"""What a host sees of a VM outside its memory, searched for a canary; and the same with one planted in each.

The list is taken from what is there, not from a plan: every file in the VM's folder, every file that QEMU and the TPM
hold open, and the memory of the TPM. Not searched is the memory of QEMU besides the guest's: it has the registers of
the guest's processor and pieces of its memory on their way.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

from provisioner.clouds.processes import Command, find
from tests.canary import Canary, search
from tests.e2e.machine import Machine
from tests.process_memory import pieces

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Surface:
    """A name, and a way to read it from the start."""

    name: str
    read: partial[Iterator[bytes]]
    size: int


def files_of(vm: Machine) -> tuple[Surface, ...]:
    """Return every file that belongs to the VM or is open in its processes, each once."""
    folder = vm.vm.directory
    paths = [path for path in folder.rglob("*") if path.is_file()]
    for pid in processes_of(vm):
        paths += [path for path in Path(f"/proc/{pid}/fd").iterdir() if stat.S_ISREG(path.stat().st_mode)]
    kept = {(path.stat().st_dev, path.stat().st_ino): path for path in reversed(paths)}
    return tuple(sorted((_file(path) for path in kept.values()), key=lambda surface: surface.name))


def tpm_memory(vm: Machine) -> Surface:
    """Return the memory of the process that is the TPM."""
    pid = processes_of(vm)[1]
    return Surface("memory of the TPM", partial(pieces, pid), 0)


def answers(name: str, texts: Iterable[bytes]) -> Surface:
    """Return what somebody was told."""
    data = b"\n".join(texts)
    return Surface(name, partial(_pieces, data), len(data))


def processes_of(vm: Machine) -> tuple[int, int]:
    """Return the pids of QEMU and of its TPM."""
    record = vm.cloud.store.read(vm.name)
    found = [find(Command(vm.vm.directory, argv)) for argv in (record.qemu, record.swtpm)]
    assert None not in found
    return found[0], found[1]


def leaks(surfaces: Iterable[Surface], canaries: Iterable[Canary]) -> list[str]:
    """Name each surface on which a canary is, and in which form."""
    needles = {f"{i}: {form}": needle for i, one in enumerate(canaries) for form, needle in one.needles().items()}
    return [f"{surface.name}: {hit.form}" for surface in surfaces for hit in search(surface.read(), needles)]


def unseen(surfaces: Iterable[Surface], canary: Canary) -> list[str]:
    """The control: plant the canary in a copy of each, each time in another form; name those where it is not found."""
    forms = cycle(canary.needles().items())
    return [
        f"{surface.name}: {form}"
        for surface, (form, needle) in zip(surfaces, forms, strict=False)
        if not any(search(_planted(surface, needle), {form: needle}))
    ]


def _planted(surface: Surface, needle: bytes) -> Iterator[bytes]:
    """Yield the surface up to its middle, then the needle, cut in two: an end that is not there need not be read."""
    left, half = surface.size // 2, len(needle) // 2
    for chunk in surface.read():
        if left <= 0:
            break
        yield chunk[:left]
        left -= len(chunk)
    yield needle[:half]
    yield needle[half:]


def _file(path: Path) -> Surface:
    target = path.resolve() if path.parts[1] != "proc" else path.readlink()
    return Surface(str(target), partial(_read, path), path.stat().st_size)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _pieces(data: bytes) -> Iterator[bytes]:
    yield data
