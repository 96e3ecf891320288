"""What each family of firmware measures, and the loader of ours that it starts: data, one table a family.

A family says which kinds of events each PCR may hold and in which order (TCG PC Client Platform Firmware Profile,
section 10.4), which actions it tells, and what its version event says. It lists kinds of events, not values.

- ``edk2``: OVMF on QEMU, with and without Secure Boot; from logs of our own VMs.
- ``gce``: Google Compute Engine's firmware, v1 and v2; from seven published logs. It tells its version and the
  machine's confidential technology as data in PCR 0, and where it starts an image from a disk that it takes for a
  device's own (seen on TDX), it measures the partition table and that image into PCR 2 in place of 5 and 4.

There is no family for Azure: no log of a confidential VM of Azure's is published that could be read to make one.
There PCRs are compared with golden values (rule L6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SEPARATOR, TAG, IPL = 0x00000004, 0x00000006, 0x0000000D
CRTM_VERSION, PLATFORM_FLAGS, HOST_CONFIG = 0x00000008, 0x0000000A, 0x00000011
CONFIG_VARIABLE, BOOT_VARIABLE, BOOT_VARIABLE2 = 0x80000001, 0x80000002, 0x8000000C
APPLICATION, GPT, ACTION, AUTHORITY = 0x80000003, 0x80000006, 0x80000007, 0x800000E0
DRIVERS = {0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER", 0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER"}
# One letter for each kind of event, so that an order of events is a word and a grammar a regular expression.
LETTERS = {
    SEPARATOR: "S",
    TAG: "T",
    CRTM_VERSION: "V",
    PLATFORM_FLAGS: "D",
    IPL: "L",
    HOST_CONFIG: "N",  # EV_NONHOST_CONFIG
    CONFIG_VARIABLE: "C",
    BOOT_VARIABLE: "B",
    BOOT_VARIABLE2: "B",
    APPLICATION: "I",
    GPT: "G",
    ACTION: "A",
    AUTHORITY: "K",
    0x80000008: "F",  # EV_EFI_PLATFORM_FIRMWARE_BLOB
    0x8000000A: "F",  # EV_EFI_PLATFORM_FIRMWARE_BLOB2
    0x80000009: "H",  # EV_EFI_HANDOFF_TABLES
    0x8000000B: "H",  # EV_EFI_HANDOFF_TABLES2
}
BOOT_ACTIONS = (b"Calling EFI Application from Boot Option", b"Returning from EFI Application from Boot Option")
EXIT_ACTIONS = (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success")
Grammar = Mapping[int, tuple[str, re.Pattern[str]]]
# The systemd stub of our image (UKI): PCR → what it may hold, in words and as a regular expression over the letters.
UKI: Grammar = {
    9: ("the kernel's command line, then its initrd", re.compile("T{0,2}")),
    11: ("name and content of each UKI section", re.compile("(?:LL)*")),
}


@dataclass(frozen=True, slots=True)
class Firmware:
    """One family: PCR → its grammar, PCR → the actions it tells, and the texts of its version and host events."""

    name: str
    pcrs: Grammar
    actions: Mapping[int, tuple[bytes, ...]]
    version: re.Pattern[bytes]
    host: re.Pattern[bytes]


EDK2 = Firmware(
    name="edk2",
    pcrs={
        0: ("firmware version, firmware volumes, separator", re.compile("VF*S")),
        1: ("ACPI data, hand-off tables, boot entries, separator", re.compile("[DHB]*S")),
        2: ("separator", re.compile("S")),
        3: ("separator", re.compile("S")),
        4: ("boot attempts, separator, then images and boot attempts", re.compile("A*S[AI]*")),
        5: ("separator, partition table, end of boot services", re.compile("SG*A*")),
        6: ("separator", re.compile("S")),
        7: ("the five Secure Boot variables, separator, the key that let the image through", re.compile("CCCCCSK?")),
        **UKI,
    },
    actions={4: BOOT_ACTIONS, 5: EXIT_ACTIONS},
    version=re.compile(rb".*", re.DOTALL),
    host=re.compile(rb"(?!)"),
)
GCE = Firmware(
    name="gce",
    pcrs={
        **EDK2.pcrs,
        0: ("firmware version, host information, separator", re.compile("VNS")),
        2: ("separator, then at most one partition table and the image from it", re.compile("S(?:GI)?")),
        5: ("separator, at most one partition table, end of boot services", re.compile("SG?A*")),
        7: ("the five Secure Boot variables, separator, keys that let an image through", re.compile("CCCCCSK*")),
    },
    # A first attempt to leave boot services may fail; the kernel then tries again.
    actions={4: BOOT_ACTIONS, 5: (*EXIT_ACTIONS, b"Exit Boot Services Returned with Failure")},
    version=re.compile(re.escape("GCE Virtual Firmware v".encode("utf-16-le")) + rb"(?:[0-9]\0){1,4}\0\0"),
    host=re.compile(rb"GCE NonHostInfo\0[\x00-\x04]\0{15}"),
)
FAMILIES = {family.name: family for family in (EDK2, GCE)}
