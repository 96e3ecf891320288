"""Event logs of TDs (T9): every attack breaks exactly one rule, on a log that is accepted without it."""

from __future__ import annotations

from hashlib import sha384

import pytest

from client_sdk.clauses.tdx import ObservedEvents
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.report import Ledger
from client_sdk.rules import keepers
from client_sdk.verify.tdx_log import LogFacts, verify_log, verify_rtmr0
from tests.fakes.simulated_tdx import GLOBAL, SECURITY, Logged, extended, serialise, td_log, variable

# Everything in RTMR0 that is neither a Secure Boot variable nor a separator, as the platform's publisher saw it.
OBSERVED = tuple(event.measured for event in td_log() if event.register == 1 and event.kind not in (0x80000001, 0x4))
DRIVER_CONFIG, BOOT_2 = 0x80000001, 0x8000000C


def judged(log: list[Logged], registers: tuple[bytes, ...] | None = None) -> LogFacts:
    """Replay a log and check its grammar; the registers are what the log gives, where they are not told."""
    events = verify_log(serialise(log), registers or extended(log), ledger=Ledger())
    return verify_rtmr0(events, ledger=Ledger())


def refused(rule: str, log: list[Logged], registers: tuple[bytes, ...] | None = None) -> None:
    with pytest.raises(VerificationError) as caught:
        judged(log, registers)
    assert caught.value.rule == rule, str(caught.value)


def test_control_is_accepted():
    facts = judged(td_log())
    assert facts.observed == OBSERVED
    assert facts.secure_boot == "off"


@pytest.mark.parametrize(("register", "rule"), [(0, "T9.2"), (1, "T9.3"), (2, "T9.4"), (3, "T9.5")])
def test_a_register_that_the_log_does_not_give(register, rule):
    log = [*td_log(), Logged(4, 0x6, b"run time")]
    judged(log)
    values = list(extended(log))
    values[register] = bytes(48)
    refused(rule, log, tuple(values))


def test_a_log_that_leaves_an_event_out():
    for index, event in enumerate(td_log()):
        if event.kind != 3:
            log = td_log()
            del log[index]
            refused(f"T9.{event.register + 1}", log, extended(td_log()))


def test_rtmr3_is_not_the_logs_where_the_log_says_nothing_about_it():
    values = (*extended(td_log())[:3], b"\1" * 48)
    assert judged(td_log(), values).observed == OBSERVED


def test_an_event_that_claims_to_extend_mrtd():
    refused("T9.6", [*td_log(), Logged(0, 0x4, bytes(4))])


SECURE_BOOT = [
    Logged(1, DRIVER_CONFIG, variable(GLOBAL, "SecureBoot", b"\0")),
    Logged(1, DRIVER_CONFIG, variable(SECURITY, "PK")),
    Logged(1, DRIVER_CONFIG, variable(GLOBAL, "dbr")),
]
# Attack, rule, the event's place in the log, and what stands there instead.
ATTACKS = [
    ("no memory map", "T9.7", 0, []),
    ("two memory maps", "T9.7", 0, [td_log()[0], td_log()[0]]),
    ("no firmware volume", "T9.7", 1, []),
    ("a Secure Boot variable less", "T9.7", 6, []),
    ("a driver from an option ROM", "T9.7", 8, [Logged(1, 0x80000004, b"driver")]),
    ("an action", "T9.7", 8, [Logged(1, 0x80000007, b"Entering ROM Based Setup")]),
    ("no separator", "T9.7", 7, []),
    ("ACPI data before the separator", "T9.7", 7, [td_log()[8], td_log()[7]]),
    ("something behind the last separator", "T9.7", 13, [td_log()[13], td_log()[8]]),
    ("a type that is not known", "T9.7", 8, [Logged(1, 0x12345678, b"")]),
    ("a variable whose digest is of another value", "T9.8", 2, [Logged(1, DRIVER_CONFIG, b"", bytes(48))]),
    ("a separator whose digest is of something else", "T9.8", 7, [Logged(1, 4, bytes(4), bytes(48))]),
    ("a boot variable whose digest is of another value", "T9.8", 10, [Logged(1, BOOT_2, td_log()[10].data, bytes(48))]),
    ("a separator that reports an error", "T9.9", 7, [Logged(1, 4, b"\1\0\0\0")]),
    ("Secure Boot variables in another order", "T9.10", 3, [td_log()[4]]),
    ("SecureBoot twice", "T9.10", 3, SECURE_BOOT[:1]),
    ("a variable of another vendor", "T9.10", 3, SECURE_BOOT[1:2]),
    ("a variable that is none of them", "T9.10", 6, SECURE_BOOT[2:]),
    ("a driver that the host configures", "T9.11", 11, [Logged(1, BOOT_2, variable(GLOBAL, "Driver0000", b"x"))]),
    ("a boot variable of another vendor", "T9.11", 11, [Logged(1, BOOT_2, variable(SECURITY, "Boot0000", b"x"))]),
]


@pytest.mark.parametrize(("attack", "rule", "place", "instead"), ATTACKS, ids=[row[0] for row in ATTACKS])
def test_an_event_that_does_not_belong_into_rtmr0(attack, rule, place, instead):
    log = td_log()
    log[place : place + 1] = instead
    refused(rule, log)


def test_secure_boot_is_read_from_its_variable():
    log = td_log()
    log[2] = Logged(1, DRIVER_CONFIG, variable(GLOBAL, "SecureBoot", b"\1"))
    log.insert(14, Logged(1, 0x800000E0, variable(SECURITY, "db", b"who signed the image")))
    assert judged(log).secure_boot == "on"


def test_a_variable_that_cannot_be_read():
    log = td_log()
    log[11] = Logged(1, BOOT_2, b"short")
    with pytest.raises(EvidenceError):
        judged(log)


def test_what_a_host_brings_is_compared_with_a_list():
    facts = judged(td_log())
    assert ObservedEvents(frozenset(OBSERVED)).judge(facts, Ledger()) == ()
    assert sha384(b"DSDT").digest() in OBSERVED
    for missing in OBSERVED:
        (failure,) = ObservedEvents(frozenset(OBSERVED) - {missing}).judge(facts, Ledger())
        assert failure.clause.startswith("T9.12: ")
        assert failure.got == missing.hex()


def test_every_rule_of_the_log_has_an_attack():
    kept = {keeper.rule for keeper in keepers() if keeper.module.endswith("tdx_log")}
    assert kept - {rule for _, rule, *_ in ATTACKS} == {"T9.2", "T9.3", "T9.4", "T9.5", "T9.6"}  # above
