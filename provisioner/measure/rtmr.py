"""RTMR1 and RTMR2 of a TD whose firmware is Google's, from the same events as the PCRs.

Firmware with a TD's registers measures PCR 2 to 6 into RTMR1 and PCR 8 to 15 into RTMR2, with SHA-384 (UEFI 2.10,
section 38.4.1), in the order in which things happen. RTMR0 (PCR 1 and 7) is not predicted: its memory map, firmware
volumes and ACPI tables are the platform's, so clients replay it from its log (rule T9). RTMR3 stays zero.

The order is that of published logs of Google's TDX machines: one separator for the whole of RTMR1, behind the boot
attempt; then partition table, images, end of boot services. Intel's and EDK2's own builds place separators otherwise.
RTMR2 holds the stub's sections alone: where there is a TPM, the kernel measures command line and initrd into its PCR 9,
and the boot phases are extended from user space, which knows the TPM only.
"""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.measure.event import Event
from provisioner.measure.firmware import boot_attempt, exit_boot_services

PREDICTED_RTMRS = (1, 2)


def rtmr1(table: Event, images: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events of RTMR1; ``images`` are those that the firmware loads, in order."""
    return (*boot_attempt(), table, *images, *exit_boot_services())


def rtmr2(sections: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events of RTMR2: names and contents of the UKI's sections."""
    return tuple(sections)
