"""The firmware's event log, replayed against the quoted PCRs. What it says is believed afterwards, never before.

(L4) ``EV_NO_ACTION`` extends nothing; ``StartupLocality``, once and before PCR 0's first event, sets PCR 0's start.
(L1.source) Every event is for a PCR that firmware may extend and that is quoted.
(L1.n) Each of PCR 0 to 7 and 9 is exactly what the log gives. PCR 11 is not complete yet: the boot phases follow, and
which ones is the release's to say.
(L7) PCR 12, 13 and 14 have no event and are zero: no command line, credential, system extension or addon was added.
(L9) Nothing ran before the image. (L2, L3, L5) Each PCR follows its grammar (``grammar.py``).
(L10.1) The PCR that bears images bears at least one.

It proves what was measured, not that it is good: the values are compared with a release in ``accept.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from client_sdk.parse.eventlog import EV_NO_ACTION, Event, parse_event_log
from client_sdk.report import Ledger
from client_sdk.verify.grammar import (
    APPLICATION,
    GRAMMAR,
    boot_entries,
    read_variables,
    secure_boot,
    verify_grammar,
    verify_no_drivers,
)

PHASES_FOLLOW = 11
UNTOUCHED = (12, 13, 14)
_REPLAYED = {pcr: (f"L1.{pcr}", f"PCR {pcr} is what the event log gives") for pcr in GRAMMAR if pcr != PHASES_FOLLOW}
_UNTOUCHED = {
    pcr: (f"L7.{pcr}", f"PCR {pcr} is untouched: nobody added a command line, a credential, an extension or an addon")
    for pcr in UNTOUCHED
}
_LOCALITY = b"StartupLocality\0"
_LOCALITIES = (b"\0", b"\3", b"\4")
_ZERO = bytes(32)


@dataclass(frozen=True, slots=True)
class FirmwareFacts:
    """What a replayed log says. ``images`` are (PCR, Authenticode digest); ``pcr11`` is its value before the phases."""

    images: tuple[tuple[int, bytes], ...]
    pcr11: bytes
    secure_boot: str
    boot_entries: tuple[str, ...]


def verify_event_log(log: bytes, quoted: dict[int, bytes], *, ledger: Ledger) -> FirmwareFacts:
    """Replay a log against quoted PCRs and check every event against its PCR's grammar.

    Raises:
        EvidenceError: the log or an event's data cannot be read.
        VerificationError: L1 to L5, L7, L9 or L10.
    """
    events = parse_event_log(log).events
    start, extending = _without_no_action(events, ledger)
    by_pcr = _by_pcr(extending, ledger)
    _untouched(by_pcr, quoted, ledger)
    values = {pcr: _replay(by_pcr[pcr], start if pcr == 0 else _ZERO) for pcr in GRAMMAR}
    for pcr, (rule, what) in _REPLAYED.items():
        ledger.equal(rule, what, expected=values[pcr], got=quoted[pcr])
    variables = read_variables(extending)
    verify_no_drivers(extending, variables, ledger=ledger)
    for pcr in GRAMMAR:
        verify_grammar(pcr, by_pcr[pcr], variables, ledger=ledger)
    images = tuple([(event.pcr, event.digest) for event in extending if event.kind == APPLICATION])
    ledger.holds(
        "L10.1", "the log names the images that were started", expected="at least 1", got=len(images), condition=images
    )
    return FirmwareFacts(images, values[PHASES_FOLLOW], secure_boot(by_pcr[7], variables), boot_entries(variables))


def _without_no_action(events: tuple[Event, ...], ledger: Ledger) -> tuple[bytes, tuple[Event, ...]]:
    """Return PCR 0's start and the events that extend something."""
    silent = [event for event in events if event.kind == EV_NO_ACTION]
    extending = tuple([event for event in events if event.kind != EV_NO_ACTION]) if silent else events
    said = [event for event in silent if event.data.startswith(_LOCALITY)]
    values = [event.data[len(_LOCALITY) :] for event in said]
    first = next((event.offset for event in extending if event.pcr == 0), 0) if said else 0
    ledger.holds(
        "L4",
        "what extends nothing proves nothing, but for where PCR 0 started",
        expected="at most one StartupLocality, of 0, 3 or 4, before PCR 0's first event",
        got=values,
        condition=not said
        or (len(said) == 1 and said[0].pcr == 0 and said[0].offset < first and values[0] in _LOCALITIES),
    )
    return (values[0].rjust(32, b"\0") if said else _ZERO), extending


def _by_pcr(events: tuple[Event, ...], ledger: Ledger) -> dict[int, list[Event]]:
    by_pcr: dict[int, list[Event]] = {pcr: [] for pcr in (*GRAMMAR, *UNTOUCHED)}
    foreign = []
    for event in events:
        if event.pcr in by_pcr:
            by_pcr[event.pcr].append(event)
        else:
            foreign.append(event.pcr)
    ledger.equal(
        "L1.source", "the log has no event for a PCR that firmware does not extend", expected=(), got=tuple(foreign)
    )
    return by_pcr


def _untouched(by_pcr: dict[int, list[Event]], quoted: dict[int, bytes], ledger: Ledger) -> None:
    for pcr, (rule, what) in _UNTOUCHED.items():
        ledger.holds(
            rule,
            what,
            expected="no event, zero",
            got=(len(by_pcr[pcr]), "events", quoted[pcr]),
            condition=not by_pcr[pcr] and quoted[pcr] == _ZERO,
        )


def _replay(events: list[Event], value: bytes) -> bytes:
    for event in events:
        value = sha256(value + event.digest).digest()
    return value
