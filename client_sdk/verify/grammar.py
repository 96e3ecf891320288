"""Which events a PCR of the firmware log may hold, in which order, and what they must say.

The type of an event is not in its digest, so a type is believed only where the grammar leaves no other reading, and
data only where its digest is recomputed from it.

(L9.1) No driver image in any PCR, (L9.2) no ``Driver####`` or ``SysPrep####`` entry among the boot variables.
(L2) Each PCR's events match its grammar: known types, in order, with exactly one separator where one belongs.
(L3) Every digest that is one of data is recomputed from the data: separators, actions, variables, GPT, section names.
(L5) PCR 7 opens with the Secure Boot variables in their fixed order; the state is read from there alone.

The grammar fits EDK2 (OVMF) with Secure Boot off, whatever its version; it lists kinds of events, not values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256

from client_sdk.errors import VerificationError
from client_sdk.parse.eventlog import Event
from client_sdk.parse.variable import (
    GLOBAL_VARIABLE,
    IMAGE_SECURITY,
    Variable,
    parse_description,
    parse_tag,
    parse_variable,
    utf16,
)
from client_sdk.report import Ledger

APPLICATION, BOOT_VARIABLE = 0x80000003, 0x80000002
DRIVERS = {0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER", 0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER"}
# One letter for each kind of event, so that an order of events is a word and a grammar a regular expression.
LETTERS = {
    0x00000004: "S",  # EV_SEPARATOR
    0x00000006: "T",  # EV_EVENT_TAG
    0x00000008: "V",  # EV_S_CRTM_VERSION
    0x0000000A: "D",  # EV_PLATFORM_CONFIG_FLAGS
    0x0000000D: "L",  # EV_IPL
    0x80000001: "C",  # EV_EFI_VARIABLE_DRIVER_CONFIG
    BOOT_VARIABLE: "B",  # EV_EFI_VARIABLE_BOOT
    0x8000000C: "B",  # EV_EFI_VARIABLE_BOOT2
    APPLICATION: "I",  # EV_EFI_BOOT_SERVICES_APPLICATION
    0x80000006: "G",  # EV_EFI_GPT_EVENT
    0x80000007: "A",  # EV_EFI_ACTION
    0x80000008: "F",  # EV_EFI_PLATFORM_FIRMWARE_BLOB
    0x8000000A: "F",  # EV_EFI_PLATFORM_FIRMWARE_BLOB2
    0x80000009: "H",  # EV_EFI_HANDOFF_TABLES
    0x8000000B: "H",  # EV_EFI_HANDOFF_TABLES2
}
_SEPARATOR_DATA = bytes(4)
_ACPI_DATA = b"ACPI DATA"
_BOOT_VARIABLE = re.compile(r"BootOrder|Boot[0-9A-F]{4}")
_ACTIONS = {
    4: (b"Calling EFI Application from Boot Option", b"Returning from EFI Application from Boot Option"),
    5: (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success"),
}
_SECURE_BOOT_VARIABLES = (
    (GLOBAL_VARIABLE, "SecureBoot"),
    (GLOBAL_VARIABLE, "PK"),
    (GLOBAL_VARIABLE, "KEK"),
    (IMAGE_SECURITY, "db"),
    (IMAGE_SECURITY, "dbx"),
)
_KERNEL_TAGS = {0x8F3B22ED: b"LOADED_IMAGE::LoadOptions\0", 0x8F3B22EC: b"Linux initrd\0"}
_SECTIONS = frozenset({".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat"})
_SECTIONS |= {".pcrpkey", ".profile", ".dtbauto", ".hwids", ".efifw"}
# PCR → what it may hold, in words and as a regular expression over the letters.
GRAMMAR: dict[int, tuple[str, re.Pattern[str]]] = {
    0: ("firmware version, firmware volumes, separator", re.compile("VF*S")),
    1: ("ACPI data, hand-off tables, boot entries, separator", re.compile("[DHB]*S")),
    2: ("separator", re.compile("S")),
    3: ("separator", re.compile("S")),
    4: ("boot attempts, separator, then images and boot attempts", re.compile("A*S[AI]*")),
    5: ("separator, partition table, end of boot services", re.compile("SG*A*")),
    6: ("separator", re.compile("S")),
    7: ("the five Secure Boot variables, separator", re.compile("CCCCCS")),
    9: ("the kernel's command line, then its initrd", re.compile("T{0,2}")),
    11: ("name and content of each UKI section", re.compile("(?:LL)*")),
}


def verify_no_drivers(events: tuple[Event, ...], *, ledger: Ledger) -> None:
    """Refuse anything that firmware loaded before the boot manager chose an image.

    Raises:
        EvidenceError: a boot variable that cannot be read.
        VerificationError: L9.
    """
    drivers = tuple(f"PCR {event.pcr}: {DRIVERS[event.kind]}" for event in events if event.kind in DRIVERS)
    ledger.equal("L9.1", "no driver ran before the image", expected=(), got=drivers)
    names = (_variable(event).name for event in events if LETTERS.get(event.kind) == "B")
    foreign = tuple(name for name in names if name.startswith(("Driver", "SysPrep")))
    ledger.equal("L9.2", "no driver or system preparation entry is configured", expected=(), got=foreign)


def verify_grammar(pcr: int, events: list[Event], *, ledger: Ledger) -> None:
    """Check one PCR's events, in log order, against its grammar, and recompute the digests that are of data.

    Raises:
        EvidenceError: an event's data cannot be read.
        VerificationError: L2, L3 or L5.
    """
    words, pattern = GRAMMAR[pcr]
    word = "".join(LETTERS.get(event.kind, "?") for event in events)
    ledger.holds(
        f"L2.{pcr}",
        f"PCR {pcr} holds only what belongs there, in order",
        expected=words,
        got=tuple(f"{event.kind:#010x}" for event in events),
        condition=pattern.fullmatch(word),
    )
    for letter, event in zip(word, events, strict=True):
        _CONTENT[letter](event)
    if pcr in _SEQUENCES:
        _SEQUENCES[pcr](events)


def secure_boot(events: list[Event]) -> str:
    """Return ``on`` or ``off`` from PCR 7's events, after :func:`verify_grammar` passed them (rule L5)."""
    value = _variable(events[0]).value
    return "on" if value == b"\1" else "off"


def boot_entries(events: list[Event]) -> tuple[str, ...]:
    """Return the descriptions of the boot entries in PCR 1, in log order: measured by firmware, signed by nobody."""
    variables = (_variable(event) for event in events if LETTERS.get(event.kind) == "B")
    return tuple(parse_description(v.value, v.name) for v in variables if v.name != "BootOrder")


def _variable(event: Event) -> Variable:
    return parse_variable(event.data, _place(event))


def _place(event: Event) -> str:
    return f"event_log byte {event.offset}"


def _refuse(rule: str, event: Event, what: str, *, expected: str) -> None:
    place = f"PCR {event.pcr}, {_place(event)}"
    raise VerificationError(rule, f"{place}: {what}", expected=expected, got=repr(event.data[:64]))


def _recomputed(event: Event, data: bytes) -> None:
    if sha256(data).digest() != event.digest:
        _refuse("L3", event, "the digest is not of the data beside it", expected="the data that was measured")


def _separator(event: Event) -> None:
    if event.data != _SEPARATOR_DATA:
        _refuse("L2.separator", event, "the separator reports an error", expected=repr(_SEPARATOR_DATA))
    _recomputed(event, event.data)


def _of_data(event: Event) -> None:
    _recomputed(event, event.data)


def _action(event: Event) -> None:
    if event.data not in _ACTIONS[event.pcr]:
        _refuse("L2.action", event, "an action that does not belong here", expected="a boot attempt, or its end")
    _recomputed(event, event.data)


def _boot_variable(event: Event) -> None:
    variable = _variable(event)
    if variable.vendor != GLOBAL_VARIABLE or not _BOOT_VARIABLE.fullmatch(variable.name):
        _refuse("L2.variable", event, "a variable that does not belong here", expected="BootOrder or Boot####")
    # EDK2 hashes the value alone for EV_EFI_VARIABLE_BOOT, the whole structure for EV_EFI_VARIABLE_BOOT2.
    _recomputed(event, variable.value if event.kind == BOOT_VARIABLE else event.data)


def _platform_flags(event: Event) -> None:
    # The digest is of an ACPI table that the log does not carry; the text beside it says which kind it is.
    if event.data != _ACPI_DATA:
        _refuse("L2.flags", event, "a platform setting that does not belong here", expected=repr(_ACPI_DATA))


def _digest_only(_event: Event) -> None:
    """Images, firmware volumes, tables: the digest is of bytes that the log does not carry; the text proves nothing."""


_CONTENT: dict[str, Callable[[Event], None]] = {
    "S": _separator,
    "V": _of_data,
    "C": _of_data,
    "G": _of_data,
    "A": _action,
    "B": _boot_variable,
    "D": _platform_flags,
    "F": _digest_only,
    "H": _digest_only,
    "I": _digest_only,
    "L": _digest_only,  # names and contents alternate: _sections
    "T": _digest_only,  # the tag names what was hashed: _kernel_inputs
}


def _secure_boot_variables(events: list[Event]) -> None:
    for event, (vendor, name) in zip(events, _SECURE_BOOT_VARIABLES, strict=False):
        variable = _variable(event)
        if (variable.vendor, variable.name) != (vendor, name):
            _refuse("L5", event, "another Secure Boot variable than is due", expected=name)
        if name == "SecureBoot" and variable.value not in (b"", b"\0", b"\1"):
            _refuse("L5", event, "SecureBoot has no such state", expected="empty, 0 or 1")


def _kernel_inputs(events: list[Event]) -> None:
    for event, tag in zip(events, _KERNEL_TAGS, strict=False):
        if parse_tag(event.data, _place(event)) != (tag, _KERNEL_TAGS[tag]):
            _refuse("L2.tag", event, "another kernel input than is due", expected=repr(_KERNEL_TAGS[tag]))


def _sections(events: list[Event]) -> None:
    seen: set[str] = set()
    for name_event, content_event in zip(events[::2], events[1::2], strict=True):
        if name_event.data != content_event.data or name_event.data[-2:] != b"\0\0":
            _refuse("L2.section", content_event, "name and content of a section are not paired", expected="a pair")
        name = utf16(name_event.data[:-2], _place(name_event))
        if name not in _SECTIONS or name in seen:
            _refuse("L2.section", name_event, "a section that does not belong here", expected="each section once")
        _recomputed(name_event, name.encode("ascii") + b"\0")
        seen.add(name)


_SEQUENCES: dict[int, Callable[[list[Event]], None]] = {
    7: _secure_boot_variables,
    9: _kernel_inputs,
    11: _sections,
}
