"""What OVMF measures by itself, when it boots one EFI application from the default path of a disk.

This is the behaviour of the OVMF that the tools tree holds (2025.02), without Secure Boot and with an empty
variable store. Other firmware logs other events: 2022.11 gives the variable SecureBoot one byte of data.
"""

from __future__ import annotations

from provisioner.measure.event import Event, event_of

_GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")  # EFI_GLOBAL_VARIABLE, as it lies in memory
_SECURITY_DATABASE = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")  # EFI_IMAGE_SECURITY_DATABASE_GUID
_SECURE_BOOT_VARIABLES = (
    (_GLOBAL, "SecureBoot"),
    (_GLOBAL, "PK"),
    (_GLOBAL, "KEK"),
    (_SECURITY_DATABASE, "db"),
    (_SECURITY_DATABASE, "dbx"),
)


def separator(pcr: int) -> Event:
    """Return EV_SEPARATOR: the firmware's own part of this PCR ends here."""
    return event_of(pcr, bytes(4), "separator")


def secure_boot_off() -> tuple[Event, ...]:
    """Return the events of PCR 7: every variable of Secure Boot is absent, so its data is empty."""
    variables = (
        event_of(7, _empty_variable(vendor, name), f"variable {name}, empty") for vendor, name in _SECURE_BOOT_VARIABLES
    )
    return (*variables, separator(7))


def boot_attempt() -> tuple[Event, ...]:
    """Return what stands before the first image in PCR 4."""
    action = "Calling EFI Application from Boot Option"
    return (event_of(4, action.encode(), action), separator(4))


def exit_boot_services() -> tuple[Event, ...]:
    """Return the two events that PCR 5 ends with."""
    actions = ("Exit Boot Services Invocation", "Exit Boot Services Returned with Success")
    return tuple(event_of(5, action.encode(), action) for action in actions)


def _empty_variable(vendor: bytes, name: str) -> bytes:
    """Return UEFI_VARIABLE_DATA of a variable without data."""
    return vendor + len(name).to_bytes(8, "little") + bytes(8) + name.encode("utf-16-le")
