"""The event log of a boot, as EDK2's OVMF 2025.02 and systemd's stub 257 write it: every event is data to change."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

SEPARATOR, TAG, CRTM, FLAGS, IPL = 0x4, 0x6, 0x8, 0xA, 0xD
NO_ACTION = 0x3
CONFIG, BOOT, IMAGE, DRIVER, RUNTIME_DRIVER = 0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000005
GPT, ACTION, VOLUME, AUTHORITY = 0x80000006, 0x80000007, 0x80000008, 0x800000E0
GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
CMDLINE = "vitrine.root=00:00:1 systemd.import_credentials=no"


@dataclass(frozen=True, slots=True)
class Logged:
    """One event as it is extended (``digest``) and as it is told (``data``); they differ where firmware lies."""

    pcr: int
    kind: int
    data: bytes
    digest: bytes = b""

    def extended(self) -> bytes:
        return self.digest or sha256(self.data).digest()


def variable(name: str, value: bytes, vendor: UUID = GLOBAL) -> bytes:
    text = name.encode("utf-16-le")
    return vendor.bytes_le + struct.pack("<QQ", len(name), len(value)) + text + value


def load_option(description: str) -> bytes:
    return struct.pack("<IH", 1, 4) + description.encode("utf-16-le") + b"\0\0" + b"\x7f\xff\x04\x00"


def boot_variable(name: str, value: bytes) -> Logged:
    return Logged(1, BOOT, variable(name, value), sha256(value).digest())


def separator(pcr: int) -> Logged:
    return Logged(pcr, SEPARATOR, bytes(4))


def tag(number: int, text: bytes, measured: bytes) -> Logged:
    return Logged(9, TAG, struct.pack("<II", number, len(text)) + text, sha256(measured).digest())


def section(name: str, content: bytes) -> tuple[Logged, Logged]:
    told = name.encode("utf-16-le") + b"\0\0"
    return (
        Logged(11, IPL, told, sha256(name.encode() + b"\0").digest()),
        Logged(11, IPL, told, sha256(content).digest()),
    )


def authenticode(image: bytes) -> bytes:
    return sha256(b"authenticode of " + image).digest()


def boot_log(*, image: bytes = b"uki", cmdline: str = CMDLINE, initrd: bytes = b"initrd") -> list[Logged]:
    """Return the events of one boot with Secure Boot off, in OVMF's order."""
    measured = (cmdline + "\0").encode("utf-16-le")
    return [
        Logged(0, CRTM, "2025.02-8+deb13u1".encode("utf-16-le") + b"\0\0"),
        Logged(0, VOLUME, struct.pack("<QQ", 0x820000, 0xE0000), sha256(b"PEIFV").digest()),
        Logged(0, VOLUME, struct.pack("<QQ", 0x900000, 0xE80000), sha256(b"DXEFV").digest()),
        Logged(7, CONFIG, variable("SecureBoot", b"")),
        Logged(7, CONFIG, variable("PK", b"")),
        Logged(7, CONFIG, variable("KEK", b"")),
        Logged(7, CONFIG, variable("db", b"", SECURITY)),
        Logged(7, CONFIG, variable("dbx", b"", SECURITY)),
        separator(7),
        *(Logged(1, FLAGS, b"ACPI DATA", sha256(b"table %d" % number).digest()) for number in range(4)),
        boot_variable("BootOrder", b"\x01\x00\x00\x00\x02\x00"),
        boot_variable("Boot0001", load_option("UEFI Misc Device")),
        boot_variable("Boot0000", load_option("UiApp")),
        boot_variable("Boot0002", load_option("EFI Internal Shell")),
        Logged(4, ACTION, b"Calling EFI Application from Boot Option"),
        *(separator(pcr) for pcr in range(7)),
        Logged(5, GPT, b"EFI PART" + bytes(84)),
        Logged(4, IMAGE, b"device path of the image", authenticode(image)),
        *section(".linux", b"kernel of " + image),
        *section(".osrel", b"ID=vitrine"),
        *section(".cmdline", cmdline.encode()),
        *section(".initrd", initrd),
        *section(".uname", b"6.12"),
        *section(".sbat", b"sbat"),
        Logged(4, IMAGE, b"device path of the kernel", authenticode(b"kernel of " + image)),
        tag(0x8F3B22ED, b"LOADED_IMAGE::LoadOptions\0", measured),
        tag(0x8F3B22EC, b"Linux initrd\0", initrd),
        Logged(5, ACTION, b"Exit Boot Services Invocation"),
        Logged(5, ACTION, b"Exit Boot Services Returned with Success"),
    ]


def serialise(events: list[Logged]) -> bytes:
    """Write a crypto-agile log with a SHA-256 bank alone."""
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, 1) + struct.pack("<HH", 0xB, 32) + b"\0"
    header = struct.pack("<II20sI", 0, NO_ACTION, bytes(20), len(spec)) + spec
    return header + b"".join(
        struct.pack("<IIIH32sI", e.pcr, e.kind, 1, 0xB, e.extended(), len(e.data)) + e.data for e in events
    )


def replay(events: list[Logged], pcr: int, start: bytes = bytes(32)) -> bytes:
    value = start
    for event in events:
        if event.pcr == pcr and event.kind != NO_ACTION:
            value = sha256(value + event.extended()).digest()
    return value


def after(events: list[Logged], pcr: int, kind: int, extra: Logged) -> None:
    """Put an event behind the last one of a PCR and kind."""
    place = max(i for i, event in enumerate(events) if (event.pcr, event.kind) == (pcr, kind))
    events.insert(place + 1, extra)


def change(events: list[Logged], pcr: int, kind: int, **fields) -> None:
    """Change the first event of a PCR and kind."""
    place = next(i for i, event in enumerate(events) if (event.pcr, event.kind) == (pcr, kind))
    events[place] = replace(events[place], **fields)
