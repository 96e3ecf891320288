"""Event log and run-time log (rules L1 to L5, L7, L9 to L11): each attack breaks one rule, on a VM that is accepted."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.evidence import RuntimeEvent
from client_sdk.report import Ledger
from client_sdk.verify.eventlog import verify_event_log
from tests.fakes.boot_log import (
    ACTION,
    AUTHORITY,
    BOOT,
    CONFIG,
    CRTM,
    DRIVER,
    FLAGS,
    GLOBAL,
    GPT,
    IMAGE,
    IPL,
    NO_ACTION,
    RUNTIME_DRIVER,
    SECURITY,
    SEPARATOR,
    TAG,
    Logged,
    after,
    boot_log,
    boot_variable,
    change,
    load_option,
    section,
    separator,
    serialise,
    tag,
    variable,
)
from tests.fakes.judging import verified
from tests.fakes.simulated_vm import SimulatedVm, spki, tls_certificate
from tests.fakes.simulated_vm import ec_key as key

DATA = Path(__file__).parent / "data"
FIRMWARE = (0, 1, 2, 3, 4, 5, 6, 7, 9)


def refused(vm: SimulatedVm, rule: str) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verified(vm)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


@pytest.mark.parametrize("file", sorted(DATA.glob("ovmf-*.json")), ids=lambda path: path.stem)
def test_logs_of_real_firmware_are_genuine(file):
    boot = json.loads(file.read_text())
    quoted = {int(index): bytes.fromhex(value) for index, value in boot["pcrs"].items()}
    ledger = Ledger()
    facts = verify_event_log(base64.b64decode(boot["event_log"]), quoted, ledger=ledger)
    assert (facts.secure_boot, len(facts.images), facts.pcr11) == ("off", 2, quoted[11])
    assert "EFI Internal Shell" in facts.boot_entries
    assert {"L1.0", "L2.1", "L7.12", "L9.1"} <= {check.id for check in ledger.checks}


@pytest.mark.parametrize("file", sorted(DATA.glob("ovmf-*.json")), ids=lambda path: path.stem)
def test_a_real_log_with_one_changed_digest_is_refused(file):
    boot = json.loads(file.read_text())
    quoted = {int(index): bytes.fromhex(value) for index, value in boot["pcrs"].items()}
    log = bytearray(base64.b64decode(boot["event_log"]))
    log[90] ^= 1
    with pytest.raises(VerificationError, match=r"\[L1\.0\]"):
        verify_event_log(bytes(log), quoted, ledger=Ledger())


# --- L1: what the log gives is what the TPM holds


@pytest.mark.parametrize("pcr", FIRMWARE)
def test_a_log_that_hides_an_event(pcr):
    vm = SimulatedVm()
    last = max(i for i, event in enumerate(vm.log) if event.pcr == pcr)
    vm.told_log = vm.log[:last] + vm.log[last + 1 :]
    refused(vm, f"L1.{pcr}")


@pytest.mark.parametrize("pcr", FIRMWARE)
def test_a_pcr_that_something_untold_extended(pcr):
    vm = SimulatedVm()
    vm.extra_extends[pcr] = b"\x01" * 32
    refused(vm, f"L1.{pcr}")


def test_a_truncated_log():
    vm = SimulatedVm()
    vm.told_log = vm.log[:20]
    refused(vm, "L1.2")


def test_swapped_events_of_one_pcr():
    vm = SimulatedVm()
    places = [i for i, event in enumerate(vm.log) if (event.pcr, event.kind) == (4, IMAGE)]
    vm.told_log = list(vm.log)
    vm.told_log[places[0]], vm.told_log[places[1]] = vm.log[places[1]], vm.log[places[0]]
    refused(vm, "L1.4")


@pytest.mark.parametrize("pcr", [8, 10, 15, 16, 23])
def test_an_event_for_a_pcr_that_firmware_does_not_extend(pcr):
    vm = SimulatedVm()
    vm.log.append(Logged(pcr, IPL, b"left over"))
    vm.told_log = list(vm.log)
    vm.runtime, told = list(vm.runtime), vm.runtime
    vm.told_runtime = told
    refused(vm, "L1.source")


# --- L2: a grammar for each PCR


def removed(log, pcr, kind):
    log[:] = [event for event in log if (event.pcr, event.kind) != (pcr, kind)]


EXTRA_EVENTS = [
    ("an option ROM's table after the end", 2, Logged(2, 0x80000009, b"table")),
    ("an event after the separator", 0, Logged(0, 0x80000008, b"volume")),
    ("a boot entry after the separator", 1, boot_variable("Boot0003", load_option("late"))),
    ("a second separator", 3, separator(3)),
    ("a partition table after the end of boot services", 5, Logged(5, GPT, b"EFI PART")),
    ("an event of the maker", 6, Logged(6, 0x0000000C, b"compact")),
    ("an event of a loader's in PCR 7", 7, Logged(7, IPL, b"MokListTrusted")),
    ("a type that nobody knows", 4, Logged(4, 0x12345678, b"?")),
    ("a third kernel input", 9, tag(0x8F3B22EE, b"more\0", b"more")),
    ("a section without content", 11, section(".hwids", b"")[0]),
]


@pytest.mark.parametrize(
    ("attack", "pcr", "extra"),
    EXTRA_EVENTS,
)
def test_an_event_that_does_not_belong(attack, pcr, extra):
    vm = SimulatedVm()
    vm.log.append(extra)
    refused(vm, f"L2.{pcr}")


@pytest.mark.parametrize("pcr", range(8))
def test_a_missing_separator(pcr):
    vm = SimulatedVm()
    removed(vm.log, pcr, SEPARATOR)
    refused(vm, f"L2.{pcr}")


def test_an_image_before_the_separator():
    vm = SimulatedVm()
    vm.log.insert(0, Logged(4, IMAGE, b"early"))
    refused(vm, "L2.4")


CONTENT_ATTACKS = [
    ("an action nobody knows", "L2.action", Logged(4, ACTION, b"Calling something else"), (4, IMAGE)),
    ("PCR 5's action in PCR 4", "L2.action", Logged(4, ACTION, b"Exit Boot Services Invocation"), (4, IMAGE)),
    ("a variable of another kind", "L2.variable", boot_variable("Timeout", b"\5\0"), (1, BOOT)),
    ("lower-case hex", "L2.variable", boot_variable("Boot000a", load_option("x")), (1, BOOT)),
    ("another platform setting", "L2.flags", Logged(1, FLAGS, b"SETTINGS"), (1, FLAGS)),
    ("another vendor", "L2.variable", Logged(1, BOOT, variable("Boot0001", b"", SECURITY)), (1, BOOT)),
]


@pytest.mark.parametrize(
    ("attack", "rule", "extra", "behind"),
    CONTENT_ATTACKS,
)
def test_content_that_does_not_belong(attack, rule, extra, behind):
    vm = SimulatedVm()
    after(vm.log, *behind, extra)
    refused(vm, rule)


def test_a_separator_that_reports_an_error():
    vm = SimulatedVm()
    change(vm.log, 5, SEPARATOR, data=b"\1\0\0\0")
    refused(vm, "L2.separator")


def test_kernel_inputs_in_another_order():
    vm = SimulatedVm()
    first, second = (i for i, event in enumerate(vm.log) if event.kind == TAG)
    vm.log[first], vm.log[second] = vm.log[second], vm.log[first]
    refused(vm, "L2.tag")


@pytest.mark.parametrize(
    ("attack", "pair"),
    [
        ("a section that nobody knows", section(".evil", b"code")),
        ("a section that comes twice", section(".cmdline", b"init=/bin/sh")),
        ("two names for one section", (section(".hwids", b"")[0], section(".splash", b"")[1])),
        ("a name that is no text", (Logged(11, IPL, b"\x00\xd8\0\0"),) * 2),
    ],
)
def test_sections_that_do_not_belong(attack, pair):
    vm = SimulatedVm()
    vm.log.extend(pair)
    with pytest.raises((VerificationError, EvidenceError), match=r"L2\.section|not UTF-16"):
        verified(vm)


# --- L3: data is believed when its digest is recomputed


DATA_ATTACKS = [
    ("another firmware version", 0, CRTM, "2026.02".encode("utf-16-le")),
    ("Secure Boot told as on", 7, CONFIG, variable("SecureBoot", b"\1")),
    ("another partition table", 5, GPT, b"EFI PART" + bytes(8)),
    ("another action", 4, ACTION, b"Returning from EFI Application from Boot Option"),
    ("another boot order", 1, BOOT, variable("BootOrder", b"\2\0")),
]


@pytest.mark.parametrize(
    ("attack", "pcr", "kind", "data"),
    DATA_ATTACKS,
)
def test_data_beside_a_digest_of_other_data(attack, pcr, kind, data):
    vm = SimulatedVm()
    vm.told_log = list(vm.log)
    original = next(event for event in vm.log if (event.pcr, event.kind) == (pcr, kind))
    change(vm.told_log, pcr, kind, data=data, digest=original.extended())
    refused(vm, "L3")


def test_a_section_told_under_another_name():
    vm = SimulatedVm()
    vm.told_log = [
        replace(event, data=event.data.replace(*(word.encode("utf-16-le") for word in (".sbat", ".ucode"))))
        for event in vm.log
    ]
    refused(vm, "L3")


def test_a_separator_whose_digest_is_not_its_own():
    vm = SimulatedVm()
    change(vm.log, 2, SEPARATOR, digest=b"\1" * 32)
    refused(vm, "L3")


# --- L4: what extends nothing


def locality(value: bytes, pcr: int = 0) -> Logged:
    return Logged(pcr, NO_ACTION, b"StartupLocality\0" + value, bytes(32))


def test_a_startup_locality_sets_where_pcr_0_starts():
    vm = SimulatedVm()
    vm.log.insert(0, locality(b"\3"))
    vm.start[0] = bytes(31) + b"\3"
    assert verified(vm).pcrs[0]


def test_an_injected_startup_locality():
    vm = SimulatedVm()
    vm.told_log = [locality(b"\3"), *vm.log]
    refused(vm, "L1.0")


LOCALITY_ATTACKS = [
    ("after PCR 0's first event", 1, (locality(b"\0"),)),
    ("twice", 0, (locality(b"\0"), locality(b"\0"))),
    ("of a locality that does not exist", 0, (locality(b"\7"),)),
    ("of no locality", 0, (locality(b""),)),
    ("for another PCR", 0, (locality(b"\0", 1),)),
]


@pytest.mark.parametrize(
    ("attack", "place", "events"),
    LOCALITY_ATTACKS,
)
def test_a_startup_locality_that_cannot_be(attack, place, events):
    vm = SimulatedVm()
    vm.log[place:place] = events
    refused(vm, "L4")


def test_other_events_without_action_extend_nothing():
    vm = SimulatedVm()
    vm.told_log = [Logged(0, NO_ACTION, b"SP800-155 Event", b"\1" * 32), *vm.log]
    vm.told_log.append(Logged(0xFFFFFFFF, NO_ACTION, b"vendor", b"\2" * 32))
    assert verified(vm).simulated


# --- L5: Secure Boot's state


def test_secure_boot_is_read_from_the_measured_variable():
    vm = SimulatedVm()
    change(vm.log, 7, CONFIG, data=variable("SecureBoot", b"\1"))
    assert verified(vm).firmware.secure_boot == "on"
    assert verified(SimulatedVm()).firmware.secure_boot == "off"


SECURE_BOOT_ATTACKS = [
    ("a state that does not exist", variable("SecureBoot", b"\2")),
    ("another variable in its place", variable("SetupMode", b"")),
    ("another vendor's", variable("SecureBoot", b"", SECURITY)),
]


@pytest.mark.parametrize(
    ("attack", "first"),
    SECURE_BOOT_ATTACKS,
)
def test_a_secure_boot_state_that_cannot_be(attack, first):
    vm = SimulatedVm()
    change(vm.log, 7, CONFIG, data=first)
    refused(vm, "L5")


def authority(name="db", vendor=SECURITY, **changes):
    return Logged(7, AUTHORITY, variable(name, b"owner of the key, and its certificate", vendor), **changes)


def with_secure_boot(*extra):
    """The log of a boot with Secure Boot on, which a key let through."""
    log = boot_log()
    change(log, 7, CONFIG, data=variable("SecureBoot", b"\1"))
    return [*log, *extra]


AUTHORITY_ATTACKS = [
    ("two keys for one image", "L2.7", with_secure_boot(authority(), authority())),
    ("a list of shim's", "L2.authority", with_secure_boot(authority("MokListTrusted"))),
    ("db of another vendor", "L2.authority", with_secure_boot(authority("db", GLOBAL))),
    ("a key beside another digest", "L3", with_secure_boot(authority(digest=b"\1" * 32))),
    ("a key with Secure Boot off", "L5", [*boot_log(), authority()]),
]


def test_with_secure_boot_a_key_lets_the_image_through():
    vm = SimulatedVm()
    vm.log = with_secure_boot(authority())
    assert verified(vm).firmware.secure_boot == "on"


@pytest.mark.parametrize(
    ("attack", "rule", "log"), AUTHORITY_ATTACKS, ids=[attack for attack, _, _ in AUTHORITY_ATTACKS]
)
def test_a_key_that_let_no_image_of_ours_through(attack, rule, log):
    vm = SimulatedVm()
    vm.log = list(log)
    assert refused(vm, rule), attack


# --- L7, L9, L10


@pytest.mark.parametrize(
    ("attack", "pcr"), [("a command line through SMBIOS", 12), ("a system extension", 13), ("a key of shim's", 14)]
)
def test_something_added_by_the_host(attack, pcr):
    vm = SimulatedVm()
    vm.log.append(Logged(pcr, IPL, "systemd.debug_shell".encode("utf-16-le")))
    refused(vm, f"L7.{pcr}")
    hidden = SimulatedVm()
    hidden.extra_extends[pcr] = b"\1" * 32
    refused(hidden, f"L7.{pcr}")


@pytest.mark.parametrize("kind", [DRIVER, RUNTIME_DRIVER])
@pytest.mark.parametrize("pcr", [2, 4])
def test_a_driver_that_ran_before_the_image(kind, pcr):
    vm = SimulatedVm()
    vm.log.insert(4, Logged(pcr, kind, b"driver"))
    assert f"PCR {pcr}: EV_EFI" in str(refused(vm, "L9.1"))


@pytest.mark.parametrize("name", ["Driver0001", "DriverOrder", "SysPrep0000"])
def test_an_entry_for_a_driver(name):
    vm = SimulatedVm()
    after(vm.log, 1, BOOT, boot_variable(name, load_option("driver")))
    assert name in str(refused(vm, "L9.2"))


def test_a_log_without_an_image():
    vm = SimulatedVm()
    removed(vm.log, 4, IMAGE)
    refused(vm, "L10.1")


# --- L11: what the VM itself measured


def test_the_run_time_log_has_its_four_events():
    lockdown, tls, gpu, sealed = SimulatedVm().runtime
    for attack in ([], [lockdown, tls, gpu], [tls, lockdown, gpu, sealed], [lockdown, tls, gpu, sealed, sealed]):
        vm = SimulatedVm()
        vm.runtime = attack
        refused(vm, "L11.1")


def test_an_event_of_another_type():
    vm = SimulatedVm()
    vm.runtime[2] = RuntimeEvent("debug", b"none")
    refused(vm, "L11.1")


def test_a_tls_key_that_was_not_measured():
    vm = SimulatedVm()
    vm.runtime[1] = RuntimeEvent("tls-spki", spki(tls_certificate(key("late"))))
    refused(vm, "L11.2")


@pytest.mark.parametrize("index", [0, 2, 3])
def test_a_run_time_log_that_tells_something_else(index):
    vm = SimulatedVm()
    vm.told_runtime = list(vm.runtime)
    vm.told_runtime[index] = RuntimeEvent(vm.runtime[index].kind, b"forged")
    refused(vm, "L1.15")


def test_pcr_15_extended_after_sealed():
    vm = SimulatedVm()
    vm.extra_extends[15] = b"\1" * 32
    refused(vm, "L1.15")


def test_the_fake_log_is_in_the_form_of_a_real_one():
    kinds = [event.kind for event in boot_log()]
    assert struct.unpack_from("<I", serialise(boot_log()), 4) == (NO_ACTION,)
    assert kinds[:3] == [CRTM, 0x80000008, 0x80000008]
