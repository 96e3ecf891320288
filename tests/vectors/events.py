"""Vectors of the stage ``event-log``: replay against PCR values, and the grammar of two families of firmware."""

from __future__ import annotations

from dataclasses import replace

from client_sdk.verify.eventlog import UNTOUCHED
from tests.client_sdk import test_verify_cloud_logs as google
from tests.client_sdk import test_verify_logs as ours
from tests.fakes.boot_log import (
    BOOT,
    DRIVER,
    IMAGE,
    IPL,
    RUNTIME_DRIVER,
    SEPARATOR,
    TAG,
    Logged,
    after,
    boot_log,
    boot_variable,
    change,
    load_option,
    section,
    serialise,
)
from tests.fakes.simulated_cloud_tpm import gce_log, replayed
from tests.vectors.case import Case, Family, Request, b64, merged

Events = list[Logged]


def cases() -> list[Case]:
    """Return the cases of both calls."""
    family = Family("event-log")
    _replay(family)
    _google(family)
    _any_boot(family)
    _edk2(family)
    return family.cases


def replay(events: Events, values: dict[int, bytes] | None = None, **changes) -> Request:
    told = {str(pcr): value.hex() for pcr, value in sorted((values or replayed(events)).items())}
    expected = {"pcrs": told, "technology": "tdx"}
    return merged({"call": "replay", "eventlog": b64(serialise(events)), "expected": expected}, **changes)


def grammar(events: Events, firmware: str = "edk2", **changes) -> Request:
    return merged({"call": "grammar", "eventlog": b64(serialise(events)), "firmware": firmware}, **changes)


def _replay(family: Family) -> None:
    events, values = gce_log(), replayed(gce_log())
    good = replay(events)
    family.control("replay", good)
    for pcr, last in google.LAST.items():
        hidden = events[:last] + events[last + 1 :]
        family.attack(f"a log that hides an event of PCR {pcr}", "L1.replay", replay(hidden, values))
    for pcr in (8, 12, 15):
        more = [*events, Logged(pcr, IPL, b"x")]
        family.attack(f"an event for PCR {pcr}, which has no value", "L1.replay", replay(more, values))
        family.attack(
            f"a value of PCR {pcr} that no event explains", "L1.replay", replay(events, values | {pcr: b"\1" * 32})
        )
    for pcr in values:
        family.attack(
            f"PCR {pcr} claimed as untouched, against the log", "L1.replay", replay(events, values | {pcr: bytes(32)})
        )
    for attack, pcr, kind, data in google.DATA_ATTACKS:
        told = gce_log()
        original = next(event for event in told if (event.pcr, event.kind) == (pcr, kind))
        change(told, pcr, kind, data=data, digest=original.extended())
        family.attack(attack, "L3", replay(told))
    for attack, told in google.LOCALITY_ATTACKS:
        family.attack(f"a startup locality: {attack}", "L4", replay(told, values))
    injected = [google.locality(b"\3"), *events]
    family.attack("an injected startup locality", "L1.replay", replay(injected, values))
    for technology, name in ((0, "none"), (1, "sev"), (4, "snp")):
        other = gce_log(technology=technology)
        family.attack(f"a TDX report borrowed by a machine with {name}", "L8.1", replay(other))
    family.attack("a caller who expects SNP", "L8.1", merged(good, expected={"technology": "snp"}))


def _google(family: Family) -> None:
    family.control("Google's firmware, image in PCR 4", grammar(gce_log(image_pcr=4), "gce"))
    twice = gce_log(image_pcr=4)
    after(twice, 5, google.GPT, Logged(5, google.GPT, b"EFI PART"))
    family.attack("a second partition table", "L2.5", grammar(twice, "gce"))
    family.control("Google's firmware, image in PCR 2", grammar(gce_log(), "gce"))
    for attack, rule, alter in google.EVENT_ATTACKS:
        events = gce_log()
        alter(events)
        family.attack(f"{attack}, on Google's", rule, grammar(events, "gce"))
    for attack, rule, kind, data in google.CONTENT_ATTACKS:
        events = gce_log()
        change(events, 0, kind, data=data)
        family.attack(attack, rule, grammar(events, "gce"))
    for kind, name in ((0x8, "version"), (0x11, "technology")):
        events = gce_log()
        original = next(event for event in events if event.kind == kind)
        told = next(event.data for event in gce_log(version="1", technology=4) if event.kind == kind)
        change(events, 0, kind, data=told, digest=original.extended())
        family.attack(f"a {name} beside another digest", "L3", grammar(events, "gce"))
    family.attack("EDK2's log as Google's", "L2.0", grammar(boot_log(), "gce"))


def _any_boot(family: Family) -> None:
    loader = [*gce_log(), Logged(8, IPL, b"grub_cmd: x"), Logged(14, IPL, b"MokList")]
    good = grammar(loader, "gce", boot="any")
    family.control("Google's firmware, another image", good)
    family.attack("another image as ours", "L1.source", good | {"boot": "uki"})
    family.attack(
        "another image, an event in PCR 2", "L2.2", grammar([*loader, Logged(2, IPL, b"x")], "gce", boot="any")
    )
    late = [event for event in loader if (event.pcr, event.kind) != (7, SEPARATOR)]
    family.attack("another image, no separator in PCR 7", "L2.7", grammar(late, "gce", boot="any"))


def _edk2(family: Family) -> None:
    enrolled = boot_log()
    enrolled[4] = Logged(7, ours.CONFIG, ours.variable("PK", b"a certificate"))
    family.control("EDK2's firmware with a key enrolled", grammar(enrolled))
    family.control("EDK2's firmware", grammar(boot_log()))
    family.attack("Google's log as EDK2's", "L2.0", grammar(gce_log()))
    for attack, pcr, extra in ours.EXTRA_EVENTS:
        family.attack(attack, f"L2.{pcr}", grammar([*boot_log(), extra]))
    for pcr in range(8):
        events = boot_log()
        ours.removed(events, pcr, SEPARATOR)
        family.attack(f"no separator in PCR {pcr}", f"L2.{pcr}", grammar(events))
    for attack, rule, extra, behind in ours.CONTENT_ATTACKS:
        events = boot_log()
        after(events, *behind, extra)
        family.attack(attack, rule, grammar(events))
    for attack, pcr, kind, data in ours.DATA_ATTACKS:
        events = boot_log()
        original = next(event for event in events if (event.pcr, event.kind) == (pcr, kind))
        change(events, pcr, kind, data=data, digest=original.extended())
        family.attack(f"{attack}, beside the old digest", "L3", grammar(events))
    for attack, place, extra in ours.LOCALITY_ATTACKS:
        events = boot_log()
        events[place:place] = extra
        family.attack(f"a locality {attack}", "L4", grammar(events))
    family.control("EDK2's firmware with Secure Boot on", grammar(ours.with_secure_boot(ours.authority())))
    for attack, rule, events in ours.AUTHORITY_ATTACKS:
        family.attack(f"Secure Boot: {attack}", rule, grammar(events))
    for attack, first in ours.SECURE_BOOT_ATTACKS:
        events = boot_log()
        change(events, 7, ours.CONFIG, data=first)
        family.attack(f"SecureBoot: {attack}", "L5", grammar(events))
    for pcr in UNTOUCHED:
        events = [*boot_log(), Logged(pcr, IPL, b"added")]
        family.attack(f"an event in PCR {pcr}", f"L7.{pcr}", grammar(events))
    _edk2_single(family)


def _edk2_single(family: Family) -> None:
    error, order, digest = boot_log(), boot_log(), boot_log()
    change(error, 5, SEPARATOR, data=b"\1\0\0\0")
    family.attack("a separator that reports an error, in PCR 5", "L2.separator", grammar(error))
    first, second = (place for place, event in enumerate(order) if event.kind == TAG)
    order[first], order[second] = order[second], order[first]
    family.attack("kernel inputs in another order", "L2.tag", grammar(order))
    change(digest, 2, SEPARATOR, digest=b"\1" * 32)
    family.attack("a separator whose digest is not its own", "L3", grammar(digest))
    pairs = [
        ("a section that nobody knows", section(".evil", b"code")),
        ("a section that comes twice", section(".cmdline", b"init=/bin/sh")),
        ("two names for one section", (section(".hwids", b"")[0], section(".splash", b"")[1])),
    ]
    for attack, pair in pairs:
        family.attack(attack, "L2.section", grammar([*boot_log(), *pair]))
    for kind, name in ((DRIVER, "boot services"), (RUNTIME_DRIVER, "runtime services")):
        events = boot_log()
        events.insert(4, Logged(4, kind, b"driver"))
        family.attack(f"a {name} driver in PCR 4", "L9.1", grammar(events))
    for entry in ("Driver0001", "DriverOrder", "SysPrep0000"):
        events = boot_log()
        after(events, 1, BOOT, boot_variable(entry, load_option("driver")))
        family.attack(f"an entry {entry}", "L9.2", grammar(events))
    without = boot_log()
    ours.removed(without, 4, IMAGE)
    family.attack("a log without an image", "L10.1", grammar(without))
    version = boot_log()
    version[0] = replace(version[0], kind=0x12345678)
    family.attack("a version of a kind that nobody knows", "L2.0", grammar(version))
    foreign = [*boot_log(), Logged(10, IPL, b"left over")]
    family.attack("an event for a PCR that firmware does not extend", "L1.source", grammar(foreign))
