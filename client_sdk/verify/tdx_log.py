"""The CC event log of a TD, replayed against the registers of its quote. What it says is believed afterwards.

(T9.2, T9.3, T9.4) RTMR0, RTMR1 and RTMR2 are exactly what the log gives. (T9.5) So is RTMR3 where the log has events
for it; a running system extends it without a log, and then policy names it or wants it zero.
(T9.6) No event claims to extend MRTD, which nothing can. ``EV_NO_ACTION`` extends nothing and proves nothing.

RTMR0 has a grammar besides (:func:`verify_rtmr0`), because an event's type is not in its digest:
(T9.7) the TD's memory map, firmware volumes, the five Secure Boot variables, a separator, ACPI data, boot variables,
a second separator where firmware measures one, authorities of Secure Boot; nothing else, and in this order.
(T9.8) Digests that are of data are recomputed from it. (T9.9) The separators report no error. (T9.10) The Secure Boot
variables are those, in their order. (T9.11) Boot variables are BootOrder and Boot####.

What this first grammar leaves out: RTMR1 and RTMR2 are compared with what a release predicts, so their events have no
grammar here. The log of a firmware other than EDK2's (TD-Shim, a vendor's own) does not fit it and is refused.
Every digest but those of the Secure Boot variables and separators is returned as :attr:`LogFacts.observed`, for a
published list (``clauses/tdx.py``): of the memory map, firmware volumes and ACPI tables the log carries no bytes, and
of boot variables and authorities it does, but a host could tell a table that it brought as a variable with its bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha384

from client_sdk.errors import VerificationError
from client_sdk.parse.ccel import NO_ACTION, CcEvent, parse_ccel
from client_sdk.parse.variable import GLOBAL_VARIABLE, IMAGE_SECURITY, parse_variable
from client_sdk.report import Ledger
from client_sdk.rules import keeps

RTMR0, RTMR3 = 1, 4
_ZERO = bytes(48)
_LETTERS = {
    0x00000004: "S",  # EV_SEPARATOR
    0x0000000A: "D",  # EV_PLATFORM_CONFIG_FLAGS
    0x80000001: "C",  # EV_EFI_VARIABLE_DRIVER_CONFIG
    0x80000002: "B",  # EV_EFI_VARIABLE_BOOT
    0x8000000C: "W",  # EV_EFI_VARIABLE_BOOT2
    0x8000000A: "F",  # EV_EFI_PLATFORM_FIRMWARE_BLOB2
    0x8000000B: "H",  # EV_EFI_HANDOFF_TABLES2
    0x800000E0: "U",  # EV_EFI_VARIABLE_AUTHORITY
}
_WORDS = "memory map, firmware volumes, five Secure Boot variables, separator, ACPI data, boot variables, separator"
_GRAMMAR = re.compile("HF+CCCCCSD*[BW]*S?U*")
_SECURE_BOOT = (
    (GLOBAL_VARIABLE, "SecureBoot"),
    (GLOBAL_VARIABLE, "PK"),
    (GLOBAL_VARIABLE, "KEK"),
    (IMAGE_SECURITY, "db"),
    (IMAGE_SECURITY, "dbx"),
)
_BOOT_VARIABLE = re.compile(r"BootOrder|Boot[0-9A-F]{4}")
_OPAQUE = frozenset("HFD")  # the log does not carry what was measured
_KNOWN = frozenset("CS")  # the grammar leaves no choice of what they are


@dataclass(frozen=True, slots=True)
class LogFacts:
    """A log that replayed, and RTMR0's grammar: digests that a list has to have, and whether Secure Boot is on."""

    observed: tuple[bytes, ...]
    secure_boot: str


def replay(events: tuple[CcEvent, ...]) -> tuple[bytes, bytes, bytes, bytes]:
    """Return what RTMR0 to RTMR3 are after these events; a register without events is zero."""
    values = [_ZERO] * 4
    for event in events:
        if event.kind != NO_ACTION and event.register >= RTMR0:
            index = event.register - RTMR0
            values[index] = sha384(values[index] + event.digest).digest()
    return values[0], values[1], values[2], values[3]


@keeps("T9.2", "T9.3", "T9.4", "T9.5", "T9.6")
def verify_log(log: bytes, rtmrs: tuple[bytes, bytes, bytes, bytes], *, ledger: Ledger) -> tuple[CcEvent, ...]:
    """Replay a log against the registers of a quote; return the events that extended one.

    Raises:
        EvidenceError: the log cannot be read.
        VerificationError: T9.2 to T9.6.
    """
    events = tuple([event for event in parse_ccel(log).events if event.kind != NO_ACTION])
    stray = tuple([event.offset for event in events if event.register < RTMR0])
    ledger.equal("T9.6", "no event claims to extend MRTD", expected=(), got=stray)
    values = replay(events)
    ledger.equal("T9.2", "RTMR0 is what the log gives", expected=values[0], got=rtmrs[0])
    ledger.equal("T9.3", "RTMR1 is what the log gives", expected=values[1], got=rtmrs[1])
    ledger.equal("T9.4", "RTMR2 is what the log gives", expected=values[2], got=rtmrs[2])
    if any(event.register == RTMR3 for event in events):
        ledger.equal("T9.5", "RTMR3 is what the log gives", expected=values[3], got=rtmrs[3])
    return events


@keeps("T9.7", "T9.10")
def verify_rtmr0(events: tuple[CcEvent, ...], *, ledger: Ledger) -> LogFacts:
    """Check the events of RTMR0, which :func:`verify_log` returned, against the grammar.

    Raises:
        EvidenceError: an event's data cannot be read.
        VerificationError: T9.7 to T9.11.
    """
    found = [event for event in events if event.register == RTMR0]
    word = "".join([_LETTERS.get(event.kind, "?") for event in found])
    kinds = tuple([f"{event.kind:#010x}" for event in found])
    what = "RTMR0 holds only what belongs there, in order"
    ledger.holds("T9.7", what, expected=_WORDS, got=kinds, condition=_GRAMMAR.fullmatch(word))
    for letter, event in zip(word, found, strict=True):
        _content(letter, event)
    first = word.index("C")
    secure_boot = ""
    for event, (vendor, name) in zip(found[first:], _SECURE_BOOT, strict=False):
        variable = parse_variable(event.data, event.offset)
        if (variable.vendor, variable.name) != (vendor, name):
            _refuse("T9.10", event, "the Secure Boot variables are there in their fixed order", expected=name)
        if name == "SecureBoot":
            secure_boot = "on" if variable.value == b"\1" else "off"
    observed = [event.digest for letter, event in zip(word, found, strict=True) if letter not in _KNOWN]
    return LogFacts(tuple(observed), secure_boot)


@keeps("T9.8", "T9.9", "T9.11")
def _content(letter: str, event: CcEvent) -> None:
    measured = event.data
    if letter in "BW":
        variable = parse_variable(event.data, event.offset)
        if variable.vendor != GLOBAL_VARIABLE or not _BOOT_VARIABLE.fullmatch(variable.name):
            _refuse("T9.11", event, "a boot variable is BootOrder or Boot####", expected="BootOrder or Boot####")
        # EDK2 hashes the value alone for EV_EFI_VARIABLE_BOOT, the whole structure for EV_EFI_VARIABLE_BOOT2.
        measured = variable.value if letter == "B" else event.data
    if letter not in _OPAQUE and sha384(measured).digest() != event.digest:
        _refuse("T9.8", event, "the event's digest is of the data beside it", expected="the data that was measured")
    if letter == "S" and event.data != bytes(4):
        _refuse("T9.9", event, "the separator reports no error", expected=repr(bytes(4)))


def _refuse(rule: str, event: CcEvent, what: str, *, expected: str) -> None:
    raise VerificationError(rule, f"ccel byte {event.offset}: {what}", expected=expected, got=repr(event.data[:64]))
