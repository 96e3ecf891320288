"""Logs of clouds' firmware (rules L1 to L10): replay in any bank, the grammar of Google's firmware, golden PCRs."""

from __future__ import annotations

import pytest

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.parse.variable import IMAGE_SECURITY
from client_sdk.report import Ledger
from client_sdk.verify.eventlog import verify_event_log, verify_events, verify_firmware_events
from client_sdk.verify.firmware import EDK2, FAMILIES, GCE
from client_sdk.verify.replay import HASHES, verify_replay
from tests.fakes.boot_log import (
    ACTION,
    CONFIG,
    DRIVER,
    GLOBAL,
    GPT,
    IMAGE,
    IPL,
    NO_ACTION,
    SECURITY,
    SEPARATOR,
    Logged,
    after,
    authenticode,
    boot_log,
    change,
    replay,
    serialise,
    variable,
)
from tests.fakes.simulated_cloud_tpm import gce_log, many_banks, replayed

HCRTM, AUTHORITY = 0x80000010, 0x800000E0
SHA1, SHA256, SHA384, SHA512, SM3 = 0x4, 0xB, 0xC, 0xD, 0x12


def refused(rule, judge, *arguments, **options):
    with pytest.raises(VerificationError) as caught:
        judge(*arguments, **options)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def replays(log, values, *, bank=SHA256, elsewhere=frozenset()):
    return verify_replay(log, values, bank=bank, elsewhere=elsewhere, ledger=Ledger())


# --- replay, in any bank


def in_bank(events, bank):
    """Return what a bank holds, computed without the code under test."""
    hashed, values = HASHES[bank], {}
    for event in events:
        if event.kind == NO_ACTION:
            continue
        digest = event.digest if event.digest and bank == SHA256 else hashed(event.digest or event.data).digest()
        before = values.get(event.pcr, bytes(hashed(b"").digest_size))
        values[event.pcr] = hashed(before + digest).digest()
    return values


@pytest.mark.parametrize("bank", [SHA1, SHA256, SHA384, SHA512, SM3])
def test_each_bank_of_a_log_replays(bank):
    events = gce_log()
    found = replays(many_banks(events, SHA1, SHA256, SHA384, SHA512, SM3), in_bank(events, bank), bank=bank)
    assert found.secure_boot == "off"
    assert found.values == in_bank(events, bank)


def test_a_log_in_the_form_of_old_replays_in_sha1_alone():
    events = boot_log()
    log = many_banks(events, legacy=True)
    assert replays(log, in_bank(events, SHA1), bank=SHA1).events
    with pytest.raises(EvidenceError, match="Spec ID"):
        replays(log, in_bank(events, SHA256))


@pytest.mark.parametrize("banks", [(SHA1,), (SHA1, SHA384)])
def test_no_bank_stands_in_for_another(banks):
    events = boot_log()
    with pytest.raises(EvidenceError, match="one SHA-256 bank"):
        replays(many_banks(events, *banks), in_bank(events, SHA256))


@pytest.mark.parametrize("padding", [b"\xff" * 64, b"\0" * 64, b"\xff\0" * 32])
def test_padding_behind_a_log(padding):
    events = gce_log()
    assert replays(serialise(events) + padding, replayed(events)).events


EVENTS = gce_log()
VALUES = replayed(EVENTS)
LAST = {pcr: max(i for i, event in enumerate(EVENTS) if event.pcr == pcr) for pcr in VALUES}


@pytest.mark.parametrize("pcr", sorted(VALUES))
def test_a_log_that_hides_an_event(pcr):
    hidden = EVENTS[: LAST[pcr]] + EVENTS[LAST[pcr] + 1 :]
    refused("L1.replay", replays, serialise(hidden), VALUES)


@pytest.mark.parametrize("pcr", [8, 10, 12, 15, 23])
def test_an_event_for_a_pcr_without_a_value(pcr):
    refused("L1.replay", replays, serialise([*EVENTS, Logged(pcr, IPL, b"x")]), VALUES, elsewhere=frozenset({pcr}))


@pytest.mark.parametrize("pcr", [8, 12, 15])
def test_a_value_that_no_event_explains(pcr):
    values = VALUES | {pcr: b"\1" * 32}
    refused("L1.replay", replays, serialise(EVENTS), values)
    assert pcr not in replays(serialise(EVENTS), values, elsewhere=frozenset({pcr})).values


def test_the_values_of_untouched_pcrs():
    untouched = {8: bytes(32), 16: bytes(32), 17: b"\xff" * 32, 18: bytes(32), 22: b"\xff" * 32}
    assert replays(serialise(EVENTS), VALUES | untouched).values == VALUES
    refused("L1.replay", replays, serialise(EVENTS), VALUES | {16: b"\xff" * 32})


def test_a_pcr_elsewhere_that_the_log_tells_of_is_compared():
    events = [*EVENTS, Logged(10, IPL, b"x")]
    values = replayed(events) | {10: b"\1" * 32}
    refused("L1.replay", replays, serialise(events), values, elsewhere=frozenset({10}))


DATA_ATTACKS = [
    ("Secure Boot told as on", 7, CONFIG, variable("SecureBoot", b"\1")),
    ("a variable that runs over", 7, CONFIG, variable("SecureBoot", b"")[:16] + b"\xff" * 16),
    ("a separator that reports an error", 4, SEPARATOR, b"\1\0\0\0"),
    ("another partition table", 2, GPT, b"EFI PART" + bytes(8)),
    ("another action", 4, ACTION, b"Calling nobody"),
]


@pytest.mark.parametrize(
    ("attack", "pcr", "kind", "data"),
    DATA_ATTACKS,
)
def test_data_beside_a_digest_of_other_data(attack, pcr, kind, data):
    events = gce_log()
    original = next(event for event in events if (event.pcr, event.kind) == (pcr, kind))
    change(events, pcr, kind, data=data, digest=original.extended())
    assert replayed(events) == VALUES
    refused("L3", replays, serialise(events), VALUES)


def locality(value, pcr=0):
    return Logged(pcr, NO_ACTION, b"StartupLocality\0" + value, bytes(32))


def test_where_pcr_0_starts():
    for start, first in ((b"\3", locality(b"\3")), (b"\4", Logged(0, HCRTM, b"HCRTM"))):
        events = [first, *EVENTS]
        values = replayed(events) | {0: replay(events, 0, bytes(31) + start)}
        assert replays(serialise(events), values).values[0] == values[0]
        refused("L1.replay", replays, serialise(events), values | {0: replay(events, 0)})


LOCALITY_ATTACKS = [
    ("late", [*EVENTS[:1], locality(b"\0"), *EVENTS[1:]]),
    ("twice", [locality(b"\0"), locality(b"\0"), *EVENTS]),
    ("a locality that does not exist", [locality(b"\5"), *EVENTS]),
    ("for another PCR", [locality(b"\0", 1), *EVENTS]),
]


@pytest.mark.parametrize(
    ("attack", "events"),
    LOCALITY_ATTACKS,
)
def test_a_startup_locality_that_cannot_be(attack, events):
    refused("L4", replays, serialise(events), VALUES)


def test_a_locality_where_pcr_0_has_no_event():
    events = [locality(b"\3"), *(event for event in EVENTS if event.pcr)]
    assert 0 not in replays(serialise(events), replayed(events)).values


@pytest.mark.parametrize("pcr", sorted(VALUES))
def test_a_pcr_that_is_claimed_untouched(pcr):
    refused("L1.replay", replays, serialise(EVENTS), VALUES | {pcr: bytes(32)})


def test_an_injected_startup_locality():
    refused("L1.replay", replays, serialise([locality(b"\3"), *EVENTS]), VALUES)


def test_secure_boot_is_read_from_its_own_variable_alone():
    told = Logged(5, CONFIG, variable("SecureBoot", b"\1"))
    events = [told, *gce_log()]
    assert replays(serialise(events), replayed(events)).secure_boot == "off"
    other = [told, Logged(7, CONFIG, variable("SecureBoot", b"\1", SECURITY)), Logged(7, SEPARATOR, bytes(4))]
    assert replays(serialise(other), replayed(other)).secure_boot == "unknown"
    late = [Logged(7, SEPARATOR, bytes(4)), Logged(7, CONFIG, variable("SecureBoot", b"\1"))]
    assert replays(serialise(late), replayed(late)).secure_boot == "unknown"


# --- the grammar of Google's firmware


def judged(events, family=GCE):
    return verify_event_log(serialise(events), quoted(events), ledger=Ledger(), family=family)


def quoted(events):
    return dict.fromkeys((*range(8), 9, 11, 12, 13, 14), bytes(32)) | replayed(events)


@pytest.mark.parametrize("image_pcr", [2, 4])
def test_our_image_on_googles_firmware(image_pcr):
    facts = judged(gce_log(image_pcr=image_pcr))
    assert (image_pcr, authenticode(b"uki")) in facts.images
    assert verify_events(serialise(gce_log(image_pcr=image_pcr)), ledger=Ledger(), family=GCE) == facts


def test_each_family_refuses_the_others_log():
    refused("L2.0", judged, gce_log(image_pcr=4), EDK2)
    refused("L2.0", judged, boot_log(), GCE)
    assert judged(boot_log(), EDK2).secure_boot == "off"
    assert set(FAMILIES) == {"edk2", "gce"}


@pytest.mark.parametrize("technology", range(5))
@pytest.mark.parametrize("version", ["1", "2", "12"])
def test_versions_and_technologies(technology, version):
    assert judged(gce_log(technology=technology, version=version))


def key_event(name, vendor):
    return Logged(7, AUTHORITY, variable(name, b"certificate", vendor))


def test_keys_that_let_an_image_through():
    events = gce_log()
    change(events, 7, CONFIG, data=variable("SecureBoot", b"\1"))
    events.append(key_event("db", SECURITY))
    assert judged(events).secure_boot == "on"


def only_first(events, pcr, kind):
    """Leave out what is like the first event of a PCR and kind."""
    place = next(i for i, event in enumerate(events) if (event.pcr, event.kind) == (pcr, kind))
    del events[place]
    return events


def drop(pcr, kind):
    return lambda events: only_first(events, pcr, kind)


def add(event):
    return lambda events: events.append(event)


def put(place, event):
    return lambda events: events.insert(place, event)


EVENT_ATTACKS = [
    ("an option ROM's table in PCR 2", "L2.2", add(Logged(2, 0x80000009, b"table"))),
    ("a second image in PCR 2", "L2.2", add(Logged(2, IMAGE, b"path", b"\1" * 32))),
    ("a second partition table in PCR 2", "L2.2", add(Logged(2, GPT, b"EFI PART"))),
    ("an image in PCR 2 without its partition table", "L2.2", drop(2, GPT)),
    ("no host information", "L2.0", drop(0, 0x11)),
    ("no version", "L2.0", drop(0, 0x8)),
    ("host information twice", "L2.0", put(2, Logged(0, 0x11, b"GCE NonHostInfo\0" + bytes(16)))),
    ("a firmware volume", "L2.0", put(1, Logged(0, 0x80000008, b"volume"))),
    ("an event in PCR 3", "L2.3", add(Logged(3, IPL, b"x"))),
    ("an event in PCR 6", "L2.6", add(Logged(6, 0xC, b"x"))),
    ("an unknown event in PCR 7", "L2.7", add(Logged(7, IPL, b"x"))),
    ("no separator in PCR 7", "L2.7", drop(7, SEPARATOR)),
    ("a driver", "L9.1", add(Logged(2, DRIVER, b"driver"))),
    ("another list than db", "L2.authority", add(key_event("SbatLevel", GLOBAL))),
    ("db of another vendor", "L2.authority", add(key_event("db", GLOBAL))),
    ("an event of GRUB's", "L1.source", add(Logged(8, IPL, b"grub_cmd: x"))),
]


@pytest.mark.parametrize(
    ("attack", "rule", "alter"),
    EVENT_ATTACKS,
)
def test_an_event_that_does_not_belong(attack, rule, alter):
    events = gce_log()
    alter(events)
    refused(rule, judged, events)


def test_the_second_partition_table_is_the_fault():
    events = gce_log(image_pcr=4)
    after(events, 5, GPT, Logged(5, GPT, b"EFI PART"))
    refused("L2.5", judged, events)


CONTENT_ATTACKS = [
    ("another maker's version", "L2.version", 0x8, "OVMF 2025".encode("utf-16-le") + b"\0\0"),
    ("a version without a number", "L2.version", 0x8, "GCE Virtual Firmware v".encode("utf-16-le") + b"\0\0"),
    ("a version that goes on", "L2.version", 0x8, "GCE Virtual Firmware v2 (debug)".encode("utf-16-le") + b"\0\0"),
    ("a technology of the future", "L2.host", 0x11, b"GCE NonHostInfo\0\5" + bytes(15)),
    ("reserved bytes that are set", "L2.host", 0x11, b"GCE NonHostInfo\0\3" + bytes(14) + b"\1"),
    ("other words", "L2.host", 0x11, b"GCE NonHostINFO\0\3" + bytes(15)),
]


@pytest.mark.parametrize(
    ("attack", "rule", "kind", "data"),
    CONTENT_ATTACKS,
)
def test_content_that_does_not_belong(attack, rule, kind, data):
    events = gce_log()
    change(events, 0, kind, data=data)
    refused(rule, judged, events)


@pytest.mark.parametrize("kind", [0x8, 0x11])
def test_a_version_or_technology_beside_another_digest(kind):
    events = gce_log()
    original = next(event for event in events if event.kind == kind)
    told = gce_log(version="1", technology=4)
    change(events, 0, kind, data=next(event.data for event in told if event.kind == kind), digest=original.extended())
    refused("L3", judged, events)


def test_a_failed_attempt_to_leave_boot_services_is_googles_alone():
    for events, family in ((gce_log(), GCE), (boot_log(), EDK2)):
        after(events, 5, SEPARATOR, Logged(5, ACTION, b"Exit Boot Services Returned with Failure"))
        if family is GCE:
            assert judged(events, family)
        else:
            events.sort(key=lambda event: event.kind == ACTION)
            refused("L2.action", judged, events, family)


def test_a_log_without_an_image():
    events = [event for event in gce_log() if event.kind not in (IMAGE, GPT)]
    refused("L10.1", judged, events)


def test_what_firmware_logged_is_judged_whatever_it_started():
    events = [*gce_log(), Logged(8, IPL, b"grub_cmd: x"), Logged(14, IPL, b"MokList"), key_event("SbatLevel", GLOBAL)]
    log = serialise(events)
    assert verify_firmware_events(log, ledger=Ledger(), family=GCE).images
    refused("L1.source", verify_events, log, ledger=Ledger(), family=GCE)
    refused("L2.2", verify_firmware_events, serialise([*events, Logged(2, IPL, b"x")]), ledger=Ledger(), family=GCE)
    late = [event for event in events if (event.pcr, event.kind) != (7, SEPARATOR)]
    refused("L2.7", verify_firmware_events, serialise(late), ledger=Ledger(), family=GCE)


def test_the_fake_knows_what_vendor_db_has():
    assert SECURITY.bytes_le == IMAGE_SECURITY
