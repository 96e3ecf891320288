"""The firmware's event log, replayed against the quoted PCRs. What it says is believed afterwards, never before.

(L4) ``EV_NO_ACTION`` extends nothing; ``StartupLocality`` sets PCR 0's start (``replay.py``).
(L1.source) Every event is for a PCR that firmware may extend and that is quoted.
(L1.n) Each of PCR 0 to 7 and 9 is exactly what the log gives. PCR 11 is not complete yet: the boot phases follow, and
which ones is the release's to say.
(L7) PCR 12, 13 and 14 have no event and are zero: no command line, credential, system extension or addon was added.
(L9) Nothing ran before the image. (L2, L3, L5) Each PCR follows the grammar of the firmware's family (``grammar.py``).
(L10.1) The log names an image: in which PCR the release's image must be is the release's to say.
(L6.1) Where a platform gives no log at all, there is none: nothing is replayed, and the PCRs are compared with golden
values (``client_sdk.clauses.golden``).

It proves what was measured, not that it is good: the values are compared with a release in ``accept.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from client_sdk.parse.eventlog import Event, parse_event_log
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.firmware import APPLICATION, EDK2, SEPARATOR, Firmware
from client_sdk.verify.grammar import (
    boot_entries,
    read_variables,
    secure_boot,
    verify_grammar,
    verify_no_drivers,
)
from client_sdk.verify.replay import replay, without_no_action

PHASES_FOLLOW = 11
UNTOUCHED = (12, 13, 14)
_PCRS = tuple(EDK2.pcrs)
_REPLAYED = {pcr: (f"L1.{pcr}", f"PCR {pcr} is what the event log gives") for pcr in _PCRS if pcr != PHASES_FOLLOW}
_UNTOUCHED = {
    pcr: (f"L7.{pcr}", f"PCR {pcr} is untouched: nobody added a command line, a credential, an extension or an addon")
    for pcr in UNTOUCHED
}
_ZERO = bytes(32)


@dataclass(frozen=True, slots=True)
class FirmwareFacts:
    """What a replayed log says. ``images`` are (PCR, Authenticode digest); ``pcr11`` is its value before the phases.

    ``configuration`` are the digests of everything in PCR 1 but its separators, in order: ACPI tables that the host
    brought, whose code the guest's kernel runs, and what may be one, since an event's type is not in its digest.
    """

    images: tuple[tuple[int, bytes], ...]
    pcr11: bytes
    secure_boot: str
    boot_entries: tuple[str, ...]
    configuration: tuple[bytes, ...]


@keeps(*(rule for rule, _ in _REPLAYED.values()))
def verify_event_log(
    log: bytes, quoted: Mapping[int, bytes], *, ledger: Ledger, family: Firmware = EDK2
) -> FirmwareFacts:
    """Replay a log against quoted PCRs and check every event against the grammar of its PCR.

    Raises:
        EvidenceError: the log or an event's data cannot be read.
        VerificationError: L1 to L5, L7, L9 or L10.
    """
    events = parse_event_log(log).events
    start, extending = without_no_action(events, _ZERO, ledger)
    by_pcr = _by_pcr(extending, ledger)
    _untouched(by_pcr, quoted, ledger)
    values = {pcr: replay(by_pcr[pcr], start if pcr == 0 else _ZERO, sha256) for pcr in _PCRS}
    for pcr, (rule, what) in _REPLAYED.items():
        ledger.equal(rule, what, expected=values[pcr], got=quoted[pcr])
    return _judge_events(extending, by_pcr, values[PHASES_FOLLOW], family=family, ledger=ledger)


def verify_events(log: bytes, *, ledger: Ledger, family: Firmware) -> FirmwareFacts:
    """Check a log's events against the grammar of a family, without any PCR value: what it tells proves nothing.

    Raises:
        EvidenceError: the log or an event's data cannot be read.
        VerificationError: L2 to L5, L7, L9 or L10.
    """
    _, extending = without_no_action(parse_event_log(log).events, _ZERO, ledger)
    by_pcr = _by_pcr(extending, ledger)
    _untouched(by_pcr, dict.fromkeys(UNTOUCHED, _ZERO), ledger)
    sections = replay(by_pcr[PHASES_FOLLOW], _ZERO, sha256)
    return _judge_events(extending, by_pcr, sections, family=family, ledger=ledger)


def verify_firmware_events(log: bytes, *, ledger: Ledger, family: Firmware) -> FirmwareFacts:
    """Check what the firmware itself logged, whatever it started: PCR 0 to 6, and PCR 7 up to its separator.

    It is for logs of other people's images; what their loaders measured (PCR 8 and above) is not looked at.

    Raises:
        EvidenceError: the log or an event's data cannot be read.
        VerificationError: L2 to L5, L9 or L10.
    """
    _, extending = without_no_action(parse_event_log(log).events, _ZERO, ledger)
    firmware = tuple([event for event in extending if event.pcr <= 7])
    ended = next((event.offset for event in firmware if event.pcr == 7 and event.kind == SEPARATOR), 0)
    firmware = tuple([event for event in firmware if event.pcr < 7 or event.offset <= ended])
    return _judge_events(firmware, _by_pcr(firmware, ledger), _ZERO, family=family, ledger=ledger)


@keeps("L6.1")
def verify_without_log(log: bytes, quoted: Mapping[int, bytes], *, ledger: Ledger) -> None:
    """Check that a platform which gives no log gives none: one that is there would have to be replayed.

    Nothing is known of the firmware's events then; PCR 0 to 9 are for :class:`client_sdk.clauses.golden.GoldenPcrs`.

    Raises:
        VerificationError: L6 or L7.
    """
    ledger.equal("L6.1", "the evidence of a platform without an event log has none", expected=0, got=len(log))
    _untouched({pcr: [] for pcr in UNTOUCHED}, quoted, ledger)


@keeps("L10.1")
def _judge_events(
    extending: tuple[Event, ...],
    by_pcr: dict[int, list[Event]],
    sections: bytes,
    *,
    family: Firmware,
    ledger: Ledger,
) -> FirmwareFacts:
    variables = read_variables(extending)
    verify_no_drivers(extending, variables, ledger=ledger)
    for pcr in _PCRS:
        verify_grammar(pcr, by_pcr[pcr], variables, family=family, ledger=ledger)
    images = tuple([(event.pcr, event.digest) for event in extending if event.kind == APPLICATION])
    ledger.holds(
        "L10.1", "the log names the images that were started", expected="at least 1", got=len(images), condition=images
    )
    configuration = tuple([event.digest for event in by_pcr[1] if event.kind != SEPARATOR])
    return FirmwareFacts(images, sections, secure_boot(by_pcr[7], variables), boot_entries(variables), configuration)


@keeps("L1.source")
def _by_pcr(events: tuple[Event, ...], ledger: Ledger) -> dict[int, list[Event]]:
    by_pcr: dict[int, list[Event]] = {pcr: [] for pcr in (*_PCRS, *UNTOUCHED)}
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


@keeps(*(rule for rule, _ in _UNTOUCHED.values()))
def _untouched(by_pcr: dict[int, list[Event]], quoted: Mapping[int, bytes], ledger: Ledger) -> None:
    for pcr, (rule, what) in _UNTOUCHED.items():
        ledger.holds(
            rule,
            what,
            expected="no event, zero",
            got=(len(by_pcr[pcr]), "events", quoted[pcr]),
            condition=not by_pcr[pcr] and quoted[pcr] == _ZERO,
        )
