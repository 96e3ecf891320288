"""A log of any machine, replayed against the PCR values of one bank.

It says which events were measured, not that any of them is good: what may be measured is the grammar's to say.

(L4) ``EV_NO_ACTION`` extends nothing; ``StartupLocality``, once and before PCR 0's first event, sets PCR 0's start, as
an H-CRTM event does.
(L1.replay) Each PCR is exactly what the log gives, and the log has no event for a PCR beside them.
(L3) Every digest that is one of data is recomputed from the data (TCG PC Client Platform Firmware Profile, table 9).
Secure Boot's state is then read from PCR 7's own variable before its separator, and from nowhere else.

An event's type is in no digest: what kind of event a digest is of stays the log's word here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import new, sha1, sha256, sha384, sha512
from types import MappingProxyType
from typing import Any

from client_sdk.errors import EvidenceError
from client_sdk.parse import eventlog
from client_sdk.parse.eventlog import DIGEST_SIZES, EV_NO_ACTION, Event, parse_event_log
from client_sdk.parse.variable import GLOBAL_VARIABLE, parse_variable
from client_sdk.report import Ledger
from client_sdk.rules import keeps

Hash = Callable[[bytes], Any]
SEPARATOR, CONFIG, GPT, ACTION = 0x00000004, 0x80000001, 0x80000006, 0x80000007
HCRTM = 0x80000010
_OF_DATA = {SEPARATOR: "separator", CONFIG: "Secure Boot variable", GPT: "partition table", ACTION: "action"}
_LOCALITY = b"StartupLocality\0"
_LOCALITIES = (b"\0", b"\3", b"\4")
_STATES = {b"": "off", b"\0": "off", b"\1": "on"}
_DYNAMIC = range(17, 23)  # all ones until a dynamic launch
PADDING = b"\xff\0"


def _sm3(data: bytes) -> Any:
    try:
        return new("sm3", data)
    except ValueError as error:  # an OpenSSL that was built without it
        raise EvidenceError("event_log", "this machine cannot compute SM3") from error


HASHES: Mapping[int, Hash] = {
    eventlog.SHA1: sha1,  # replayed, never believed: rule Q4 refuses quotes of that bank
    eventlog.SHA256: sha256,
    eventlog.SHA384: sha384,
    eventlog.SHA512: sha512,
    eventlog.SM3: _sm3,
}


@dataclass(frozen=True, slots=True)
class Replayed:
    """A log that gives the PCR values. ``secure_boot`` is ``on``, ``off``, or ``unknown`` where PCR 7 does not say."""

    events: tuple[Event, ...]
    values: Mapping[int, bytes]
    secure_boot: str


def verify_replay(
    log: bytes, expected: Mapping[int, bytes], *, bank: int, elsewhere: frozenset[int], ledger: Ledger
) -> Replayed:
    """Replay a log against the values of one bank, which are the whole of what is claimed about that bank.

    PCRs ``elsewhere`` may have been extended by what no firmware log tells, as PCR 10 is by Linux' IMA: without an
    event their values stay unexplained, and are left out of what is returned.

    Raises:
        EvidenceError: the log cannot be read, or has no digests of that bank.
        VerificationError: L1, L3 or L4.
    """
    hashed, zero = HASHES[bank], bytes(DIGEST_SIZES[bank])
    start, extending = without_no_action(parse_event_log(log, bank=bank, padding=PADDING).events, zero, ledger)
    by_pcr: dict[int, list[Event]] = {}
    for event in extending:
        by_pcr.setdefault(event.pcr, []).append(event)
    values = {pcr: replay(events, start if pcr == 0 else zero, hashed) for pcr, events in by_pcr.items()}
    told = {pcr: value for pcr, value in expected.items() if pcr in values or pcr not in elsewhere}
    _compare(values, told, zero, ledger)
    _recompute(extending, hashed, ledger)
    return Replayed(extending, MappingProxyType(values), _secure_boot(by_pcr.get(7, [])))


@keeps("L4")
def without_no_action(events: tuple[Event, ...], zero: bytes, ledger: Ledger) -> tuple[bytes, tuple[Event, ...]]:
    """Return PCR 0's start and the events that extend something.

    Raises:
        VerificationError: L4.
    """
    silent = [event for event in events if event.kind == EV_NO_ACTION]
    extending = tuple([event for event in events if event.kind != EV_NO_ACTION]) if silent else events
    said = [event for event in silent if event.data.startswith(_LOCALITY)]
    values = [event.data[len(_LOCALITY) :] for event in said]
    first = next((event for event in extending if event.pcr == 0), None)
    ledger.holds(
        "L4",
        "an event that extends nothing says at most where PCR 0 started, once and before PCR 0's events",
        expected="at most one StartupLocality, of 0, 3 or 4, before PCR 0's first event",
        got=values,
        condition=not said
        or (
            len(said) == 1
            and said[0].pcr == 0
            and (first is None or said[0].offset < first.offset)
            and values[0] in _LOCALITIES
        ),
    )
    if said:
        return values[0].rjust(len(zero), b"\0"), extending
    return (zero[:-1] + b"\4" if first is not None and first.kind == HCRTM else zero), extending


def replay(events: Iterable[Event], value: bytes, hashed: Hash) -> bytes:
    """Extend a PCR's start by each event's digest."""
    for event in events:
        value = hashed(value + event.digest).digest()
    return value


@keeps("L1.replay")
def _compare(values: Mapping[int, bytes], expected: Mapping[int, bytes], zero: bytes, ledger: Ledger) -> None:
    left = tuple(sorted(values.keys() - expected.keys()))
    ledger.equal("L1.replay", "the log has no event for a PCR that is not among the values", expected=(), got=left)
    for pcr, value in sorted(expected.items()):
        if pcr in values or value != zero:
            ones = b"\xff" * len(zero)
            untouched = ones if pcr in _DYNAMIC and value == ones else zero
            gives = values.get(pcr, untouched)
            ledger.equal("L1.replay", f"each PCR is what the event log gives (PCR {pcr})", expected=gives, got=value)


@keeps("L3")
def _recompute(events: tuple[Event, ...], hashed: Hash, ledger: Ledger) -> None:
    for event in events:
        if event.kind in _OF_DATA:
            ledger.equal(
                "L3",
                f"event_log byte {event.offset}: the event's digest is of the data beside it ({_OF_DATA[event.kind]})",
                expected=hashed(event.data).digest(),
                got=event.digest,
            )


def _secure_boot(events: list[Event]) -> str:
    for event in events:
        if event.kind == SEPARATOR:
            break
        if event.kind == CONFIG:
            variable = parse_variable(event.data, event.offset)
            if (variable.vendor, variable.name) == (GLOBAL_VARIABLE, "SecureBoot"):
                return _STATES.get(variable.value, "unknown")
    return "unknown"
