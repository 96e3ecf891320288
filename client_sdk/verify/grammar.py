"""Which events a PCR of the firmware log may hold, in which order, and what they must say.

The type of an event is not in its digest, so a type is believed only where the grammar leaves no other reading, and
data only where its digest is recomputed from it.

(L9.1) No driver image in any PCR, (L9.2) no ``Driver####`` or ``SysPrep####`` entry among the boot variables.
(L2) Each PCR's events match the grammar of its firmware's family (``firmware.py``): known types, in order, with
exactly one separator where one belongs, and known contents.
(L3) Every digest that is one of data is recomputed from the data: separators, actions, variables, GPT, section names.
(L5) PCR 7 opens with the Secure Boot variables in their fixed order; the state is read from there alone. A key let an
image through only where it is on.
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
from client_sdk.rules import keeps
from client_sdk.verify.firmware import (
    AUTHORITY,
    BOOT_ACTIONS,
    BOOT_VARIABLE,
    BOOT_VARIABLE2,
    CONFIG_VARIABLE,
    DRIVERS,
    EDK2,
    EXIT_ACTIONS,
    LETTERS,
    Firmware,
)

_SEPARATOR_DATA = bytes(4)
_ACPI_DATA = b"ACPI DATA"
_VARIABLES = frozenset({CONFIG_VARIABLE, BOOT_VARIABLE, BOOT_VARIABLE2})
_SECURE_BOOT_STATES = (b"", b"\0", b"\1")
_BOOT_VARIABLE = re.compile(r"BootOrder|Boot[0-9A-F]{4}")
# Data that every log has → its SHA-256.
_FIXED = {data: sha256(data).digest() for data in (_SEPARATOR_DATA, *BOOT_ACTIONS, *EXIT_ACTIONS)}
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
_RULES = {pcr: (f"L2.{pcr}", f"PCR {pcr} holds only what belongs there, in order") for pcr in EDK2.pcrs}
Variables = Mapping[int, Variable]


def read_variables(events: Iterable[Event]) -> Variables:
    """Read every UEFI variable in a log, by its event's offset.

    Raises:
        EvidenceError: one cannot be read.
    """
    return {event.offset: parse_variable(event.data, event.offset) for event in events if event.kind in _VARIABLES}


@keeps("L9.1", "L9.2")
def verify_no_drivers(events: tuple[Event, ...], variables: Variables, *, ledger: Ledger) -> None:
    """Refuse anything that firmware loaded before the boot manager chose an image.

    Raises:
        VerificationError: L9.
    """
    drivers = [f"PCR {event.pcr}: {DRIVERS[event.kind]}" for event in events if event.kind in DRIVERS]
    ledger.equal("L9.1", "no driver ran before the image", expected=[], got=drivers)
    foreign = [v.name for v in variables.values() if v.name.startswith(("Driver", "SysPrep"))]
    ledger.equal("L9.2", "no driver or system preparation entry is configured", expected=[], got=foreign)


@keeps(*(rule for rule, _ in _RULES.values()))
def verify_grammar(pcr: int, events: list[Event], variables: Variables, *, family: Firmware, ledger: Ledger) -> None:
    """Check one PCR's events, in log order, against its grammar, and recompute the digests that are of data.

    Raises:
        EvidenceError: an event's data cannot be read.
        VerificationError: L2, L3 or L5.
    """
    rule, what = _RULES[pcr]
    words, pattern = family.pcrs[pcr]
    word = "".join([LETTERS.get(event.kind, "?") for event in events])
    ledger.holds(rule, what, expected=words, got=partial(_kinds, events), condition=pattern.fullmatch(word))
    for letter, event in zip(word, events, strict=True):
        if letter in _OF_DATA and (_FIXED.get(event.data) or sha256(event.data).digest()) != event.digest:
            _other_data(event)
        if letter in _CONTENT:
            _CONTENT[letter](event, variables, family)
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


@keeps("L3")
def _other_data(event: Event) -> None:
    _refuse("L3", event, "the event's digest is of the data beside it", expected="the data that was measured")


@keeps("L2.separator")
def _separator(event: Event, _variables: Variables, _family: Firmware) -> None:
    if event.data != _SEPARATOR_DATA:
        _refuse("L2.separator", event, "the separator reports no error", expected=repr(_SEPARATOR_DATA))


@keeps("L2.action")
def _action(event: Event, _variables: Variables, family: Firmware) -> None:
    if event.data not in family.actions[event.pcr]:
        _refuse("L2.action", event, "an action is one that belongs in its PCR", expected="a boot attempt, or its end")


@keeps("L2.variable")
def _boot_variable(event: Event, variables: Variables, _family: Firmware) -> None:
    variable = variables[event.offset]
    if variable.vendor != GLOBAL_VARIABLE or not _BOOT_VARIABLE.fullmatch(variable.name):
        _refuse("L2.variable", event, "a boot variable is BootOrder or Boot####", expected="BootOrder or Boot####")
    # EDK2 hashes the value alone for EV_EFI_VARIABLE_BOOT, the whole structure for EV_EFI_VARIABLE_BOOT2.
    if sha256(variable.value if event.kind == BOOT_VARIABLE else event.data).digest() != event.digest:
        _other_data(event)


@keeps("L2.version")
def _version(event: Event, _variables: Variables, family: Firmware) -> None:
    if not family.version.fullmatch(event.data):
        _refuse("L2.version", event, "the firmware's version is one of its family", expected=family.name)


@keeps("L2.host")
def _host_information(event: Event, _variables: Variables, family: Firmware) -> None:
    if not family.host.fullmatch(event.data):
        _refuse(
            "L2.host", event, "what the firmware tells about its host has the form of its family", expected=family.name
        )


@keeps("L2.authority")
def _authority(event: Event, _variables: Variables, _family: Firmware) -> None:
    variable = parse_variable(event.data, event.offset)
    if (variable.vendor, variable.name) != (IMAGE_SECURITY, "db"):
        _refuse("L2.authority", event, "the list that let an image start is db", expected="db")


@keeps("L2.flags")
def _platform_flags(event: Event, _variables: Variables, _family: Firmware) -> None:
    # The digest is of an ACPI table that the log does not carry; the text beside it says which kind it is.
    if event.data != _ACPI_DATA:
        _refuse("L2.flags", event, "a platform setting is marked as ACPI data", expected=repr(_ACPI_DATA))


# Version, host information, separators, Secure Boot variables, partition table, actions, keys: the digest is of the
# data in the log.
_OF_DATA = frozenset("VNSCGAK")
# The others' digests are of bytes that the log does not carry (images, firmware volumes, tables), or they come in
# pairs or with a tag (_SEQUENCES).
_CONTENT: dict[str, Callable[[Event, Variables, Firmware], None]] = {
    "S": _separator,
    "A": _action,
    "B": _boot_variable,
    "D": _platform_flags,
    "K": _authority,
    "N": _host_information,
    "V": _version,
}


@keeps("L5")
def _secure_boot_variables(events: list[Event], variables: Variables) -> None:
    for event, (vendor, name) in zip(events, _SECURE_BOOT_VARIABLES, strict=False):
        variable = variables[event.offset]
        if (variable.vendor, variable.name) != (vendor, name):
            _refuse("L5", event, "the Secure Boot variables are there in their fixed order", expected=name)
        if name == "SecureBoot" and variable.value not in _SECURE_BOOT_STATES:
            _refuse("L5", event, "SecureBoot is empty, 0 or 1", expected="empty, 0 or 1")
    if secure_boot(events, variables) == "off":
        for event in events:
            if event.kind == AUTHORITY:
                what = "with Secure Boot off no key lets an image through"
                _refuse("L5", event, what, expected="no such event")


@keeps("L2.tag")
def _kernel_inputs(events: list[Event], _variables: Variables) -> None:
    for event, tag in zip(events, _KERNEL_TAGS, strict=False):
        if parse_tag(event.data, event.offset) != (tag, _KERNEL_TAGS[tag]):
            _refuse(
                "L2.tag",
                event,
                "the kernel's inputs are its command line and then the initrd",
                expected=repr(_KERNEL_TAGS[tag]),
            )


@keeps("L2.section")
def _sections(events: list[Event], _variables: Variables) -> None:
    seen: set[bytes] = set()
    for name_event, content_event in zip(events[::2], events[1::2], strict=True):
        told = name_event.data
        if told != content_event.data:
            _refuse("L2.section", content_event, "name and content of a section are paired", expected="a pair")
        if told not in _SECTIONS or told in seen:
            _refuse("L2.section", name_event, "a section is a known one, and there once", expected="each section once")
        if name_event.digest != _SECTIONS[told]:
            _other_data(name_event)
        seen.add(told)


_SEQUENCES: dict[int, Callable[[list[Event], Variables], None]] = {
    7: _secure_boot_variables,
    9: _kernel_inputs,
    11: _sections,
}
