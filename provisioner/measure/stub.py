"""What the systemd stub (257) and the kernel's EFI stub measure when they start a UKI."""

from __future__ import annotations

from provisioner.errors import MeasureError
from provisioner.measure.event import Event, event_of
from provisioner.measure.names import CMDLINE, INITRD, content_of, name_of
from provisioner.measure.pe import Image, section

# The stub measures these in this order, whatever their order in the file.
MEASURED = (".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat")
# The stub's own sections are part of the Authenticode digest and measured nowhere else.
_STUB_OWN = frozenset({".text", ".rodata", ".data", ".reloc", ".sdmagic"})


def check_sections(uki: Image) -> None:
    """Refuse a UKI with sections whose measurement this module does not predict (.profile, .pcrsig, …).

    Raises:
        MeasureError: there are some; it names them.
    """
    unknown = sorted({entry.name for entry in uki.sections} - _STUB_OWN - set(MEASURED))
    if unknown:
        raise MeasureError(f"{uki.name}: sections that this prediction does not know: {', '.join(unknown)}")


def sections_measured(uki: Image) -> tuple[Event, ...]:
    """Return the stub's part of PCR 11: for each section its name, then its content."""
    events = []
    for name in MEASURED:
        events.append(event_of(11, name.encode() + b"\0", name_of(name)))
        events.append(event_of(11, section(uki, name), content_of(name)))
    return tuple(events)


def kernel_inputs(uki: Image) -> tuple[Event, ...]:
    """Return PCR 9: the command line and the initrd as the kernel's EFI stub sees them.

    It holds only where nobody appends to either; where somebody does, PCR 9 differs, and that is its use.
    """
    cmdline = section(uki, ".cmdline")
    if not cmdline.isascii() or b"\0" in cmdline or cmdline.strip() != cmdline:
        raise MeasureError(f"{uki.name}: .cmdline has to be one line of ASCII without white space around it")
    seen = (cmdline.decode("ascii") + "\0").encode("utf-16-le")
    initrd = _padded(section(uki, ".initrd")) + _os_release_archive(section(uki, ".osrel"))
    return (event_of(9, seen, CMDLINE), event_of(9, initrd, INITRD))


def phases_measured(phases: tuple[str, ...]) -> tuple[Event, ...]:
    """Return userspace's part of PCR 11: the boot phases, in order."""
    return tuple(event_of(11, phase.encode(), f"phase {phase}") for phase in phases)


def _os_release_archive(content: bytes) -> bytes:
    """Return the cpio archive that the stub appends to the initrd to hand over .osrel."""
    directory = _entry(1, 0o040555, b".extra", b"")
    file = _entry(2, 0o100444, b".extra/os-release", content)
    # The stub writes its trailer as a constant with an upper-case digit, the others in lower case.
    trailer = _entry(0, 0, b"TRAILER!!!", b"").replace(b"0000000b", b"0000000B")
    return directory + file + trailer


def _entry(inode: int, mode: int, name: bytes, content: bytes) -> bytes:
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"
    return _padded(header) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
