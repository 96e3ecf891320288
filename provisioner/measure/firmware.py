"""What firmware of EDK2's family measures by itself, when it boots one EFI application from the default path of a disk.

OVMF (2025.02, of the tools tree) and Google's firmware tell the same events; they differ in the variables of Secure
Boot (``secure_boot.py``) and in the register that the disk's image goes to (``boot.py``).
"""

from __future__ import annotations

from provisioner.measure.event import Event, event_of

CALLING = "Calling EFI Application from Boot Option"
EXIT = ("Exit Boot Services Invocation", "Exit Boot Services Returned with Success")


def separator(pcr: int) -> Event:
    """Return EV_SEPARATOR: the firmware's own part of this PCR ends here."""
    return event_of(pcr, bytes(4), "separator")


def boot_attempt() -> tuple[Event, ...]:
    """Return what stands before the first image in PCR 4."""
    return (event_of(4, CALLING.encode(), CALLING), separator(4))


def exit_boot_services() -> tuple[Event, ...]:
    """Return the two events that PCR 5 ends with."""
    return tuple(event_of(5, action.encode(), action) for action in EXIT)
