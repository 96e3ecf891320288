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
from collections.abc import Callable, Iterable, Mapping
from functools import partial
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
_VARIABLES = frozenset({0x80000001, BOOT_VARIABLE, 0x8000000C})
_SECURE_BOOT_STATES = (b"", b"\0", b"\1")
_BOOT_VARIABLE = re.compile(r"BootOrder|Boot[0-9A-F]{4}")
_ACTIONS = {
    4: (b"Calling EFI Application from Boot Option", b"Returning from EFI Application from Boot Option"),
    5: (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success"),
}
# Data that every log has → its SHA-256.
_FIXED = {data: sha256(data).digest() for data in (_SEPARATOR_DATA, *_ACTIONS[4], *_ACTIONS[5])}
_SECURE_BOOT_VARIABLES = (
    (GLOBAL_VARIABLE, "SecureBoot"),
    (GLOBAL_VARIABLE, "PK"),
    (GLOBAL_VARIABLE, "KEK"),
    (IMAGE_SECURITY, "db"),
    (IMAGE_SECURITY, "dbx"),
)
_KERNEL_TAGS = {0x8F3B22ED: b"LOADED_IMAGE::LoadOptions\0", 0x8F3B22EC: b"Linux initrd\0"}
_NAMES: tuple[str, ...] = (
    ".linux",
    ".osrel",
    ".cmdline",
    ".initrd",
    ".ucode",
    ".splash",
    ".dtb",
    ".uname",
    ".sbat",
    ".pcrpkey",
)
_NAMES += (".profile", ".dtbauto", ".hwids", ".efifw")
# A section's name as the stub tells it → the digest of the name as it measures it (the same in every log).
_SECTIONS = {(name + "\0").encode("utf-16-le"): sha256(name.encode() + b"\0").digest() for name in _NAMES}
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

_GRAMMARS = {
    pcr: (f"L2.{pcr}", f"PCR {pcr} holds only what belongs there, in order", words, pattern.fullmatch)
    for pcr, (words, pattern) in GRAMMAR.items()
}
Variables = Mapping[int, Variable]


def read_variables(events: Iterable[Event]) -> Variables:
    """Read every UEFI variable in a log, by its event's offset.

    Raises:
        EvidenceError: one cannot be read.
    """
    return {event.offset: parse_variable(event.data, event.offset) for event in events if event.kind in _VARIABLES}


def verify_no_drivers(events: tuple[Event, ...], variables: Variables, *, ledger: Ledger) -> None:
    """Refuse anything that firmware loaded before the boot manager chose an image.

    Raises:
        VerificationError: L9.
    """
    drivers = [f"PCR {event.pcr}: {DRIVERS[event.kind]}" for event in events if event.kind in DRIVERS]
    ledger.equal("L9.1", "no driver ran before the image", expected=[], got=drivers)
    foreign = [v.name for v in variables.values() if v.name.startswith(("Driver", "SysPrep"))]
    ledger.equal("L9.2", "no driver or system preparation entry is configured", expected=[], got=foreign)


def verify_grammar(pcr: int, events: list[Event], variables: Variables, *, ledger: Ledger) -> None:
    """Check one PCR's events, in log order, against its grammar, and recompute the digests that are of data.

    Raises:
        EvidenceError: an event's data cannot be read.
        VerificationError: L2, L3 or L5.
    """
    rule, what, words, matches = _GRAMMARS[pcr]
    word = "".join([LETTERS.get(event.kind, "?") for event in events])
    ledger.holds(rule, what, expected=words, got=partial(_kinds, events), condition=matches(word))
    for letter, event in zip(word, events, strict=True):
        if letter in _OF_DATA and (_FIXED.get(event.data) or sha256(event.data).digest()) != event.digest:
            _other_data(event)
        if letter in _CONTENT:
            _CONTENT[letter](event, variables)
    if pcr in _SEQUENCES:
        _SEQUENCES[pcr](events, variables)


def secure_boot(events: list[Event], variables: Variables) -> str:
    """Return ``on`` or ``off`` from PCR 7's events, after :func:`verify_grammar` passed them (rule L5)."""
    return "on" if variables[events[0].offset].value == b"\1" else "off"


def boot_entries(variables: Variables) -> tuple[str, ...]:
    """Return the descriptions of the boot entries in log order: measured by firmware, signed by nobody.

    Call it after :func:`verify_grammar` passed PCR 1.
    """
    entries = [v for v in variables.values() if v.name.startswith("Boot") and v.name != "BootOrder"]
    return tuple([parse_description(variable.value, variable.name) for variable in entries])


def _kinds(events: list[Event]) -> tuple[str, ...]:
    return tuple(f"{event.kind:#010x}" for event in events)


def _place(event: Event) -> str:
    return f"event_log byte {event.offset}"


def _refuse(rule: str, event: Event, what: str, *, expected: str) -> None:
    place = f"PCR {event.pcr}, {_place(event)}"
    raise VerificationError(rule, f"{place}: {what}", expected=expected, got=repr(event.data[:64]))


def _other_data(event: Event) -> None:
    _refuse("L3", event, "the digest is not of the data beside it", expected="the data that was measured")


def _separator(event: Event, _variables: Variables) -> None:
    if event.data != _SEPARATOR_DATA:
        _refuse("L2.separator", event, "the separator reports an error", expected=repr(_SEPARATOR_DATA))


def _action(event: Event, _variables: Variables) -> None:
    if event.data not in _ACTIONS[event.pcr]:
        _refuse("L2.action", event, "an action that does not belong here", expected="a boot attempt, or its end")


def _boot_variable(event: Event, variables: Variables) -> None:
    variable = variables[event.offset]
    if variable.vendor != GLOBAL_VARIABLE or not _BOOT_VARIABLE.fullmatch(variable.name):
        _refuse("L2.variable", event, "a variable that does not belong here", expected="BootOrder or Boot####")
    # EDK2 hashes the value alone for EV_EFI_VARIABLE_BOOT, the whole structure for EV_EFI_VARIABLE_BOOT2.
    if sha256(variable.value if event.kind == BOOT_VARIABLE else event.data).digest() != event.digest:
        _other_data(event)


def _platform_flags(event: Event, _variables: Variables) -> None:
    # The digest is of an ACPI table that the log does not carry; the text beside it says which kind it is.
    if event.data != _ACPI_DATA:
        _refuse("L2.flags", event, "a platform setting that does not belong here", expected=repr(_ACPI_DATA))


# Version, separators, Secure Boot variables, partition table, actions: the digest is of the data in the log.
_OF_DATA = frozenset("VSCGA")
# The others' digests are of bytes that the log does not carry (images, firmware volumes, tables), or they come in
# pairs or with a tag (_SEQUENCES).
_CONTENT: dict[str, Callable[[Event, Variables], None]] = {
    "S": _separator,
    "A": _action,
    "B": _boot_variable,
    "D": _platform_flags,
}


def _secure_boot_variables(events: list[Event], variables: Variables) -> None:
    for event, (vendor, name) in zip(events, _SECURE_BOOT_VARIABLES, strict=False):
        variable = variables[event.offset]
        if (variable.vendor, variable.name) != (vendor, name):
            _refuse("L5", event, "another Secure Boot variable than is due", expected=name)
        if name == "SecureBoot" and variable.value not in _SECURE_BOOT_STATES:
            _refuse("L5", event, "SecureBoot has no such state", expected="empty, 0 or 1")


def _kernel_inputs(events: list[Event], _variables: Variables) -> None:
    for event, tag in zip(events, _KERNEL_TAGS, strict=False):
        if parse_tag(event.data, event.offset) != (tag, _KERNEL_TAGS[tag]):
            _refuse("L2.tag", event, "another kernel input than is due", expected=repr(_KERNEL_TAGS[tag]))


def _sections(events: list[Event], _variables: Variables) -> None:
    seen: set[bytes] = set()
    for name_event, content_event in zip(events[::2], events[1::2], strict=True):
        told = name_event.data
        if told != content_event.data:
            _refuse("L2.section", content_event, "name and content of a section are not paired", expected="a pair")
        if told not in _SECTIONS or told in seen:
            _refuse("L2.section", name_event, "a section that does not belong here", expected="each section once")
        if name_event.digest != _SECTIONS[told]:
            _other_data(name_event)
        seen.add(told)


_SEQUENCES: dict[int, Callable[[list[Event], Variables], None]] = {
    7: _secure_boot_variables,
    9: _kernel_inputs,
    11: _sections,
}
