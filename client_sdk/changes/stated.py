"""What a release states itself, compared with another: dates, revocations, and what machines must measure.

It says what two publishers' documents say, and judges neither: who signed the release is for the caller to check first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from client_sdk.accept import COVERS
from client_sdk.changes.compare import Item, Section, compared, digest, plain
from client_sdk.encoding import to_base64
from client_sdk.fields import format_instant
from client_sdk.release import Measurement, Release

KIND, ANYTHING = "kind of image", "anything: the release pins none"
DEBUG = "DEBUG: it does not promise the whole lock-down"
_ABOUT = "What the publisher's signature covers besides the image."


def statements(before: Release, after: Release) -> tuple[Section, ...]:
    """Compare what two releases state themselves: dates, revocations, and measurements by platform and boot mode.

    A section in which nothing changed is left out.
    """
    old, new = _measured(before), _measured(after)
    measured = (_measurement(key, old.get(key), new.get(key)) for key in dict.fromkeys([*new, *old]))
    stated = compared("statement", "The release's own words", _statement(before), _statement(after), about=_ABOUT)
    return tuple(section for section in (stated, *measured) if section.changes)


def _statement(release: Release) -> Iterator[Item]:
    yield plain("number", str(release.number))
    yield plain("service", release.service)
    yield plain("in force from", format_instant(release.not_before))
    yield plain("in force until", format_instant(release.not_after))
    yield digest("manifest (SHA-256)", release.manifest_sha256)
    if release.supersedes is not None:
        yield plain("supersedes", f"release {release.supersedes}")
    yield from (plain(f"revokes release {number}", "not to be used any more") for number in release.revokes)


_Key = tuple[str, str, int]


def _measured(release: Release) -> dict[_Key, Measurement]:
    """Key measurements by platform, boot mode, and how often both stood there before."""
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for item in release.measurements:
        key = item.platform, item.boot_mode
        seen[key] += 1
        found[*key, seen[key]] = item
    return found


def _measurement(key: _Key, before: Measurement | None, after: Measurement | None) -> Section:
    platform, boot_mode, number = key
    name = f"{platform}, {boot_mode}" if number == 1 else f"{platform}, {boot_mode} (number {number})"
    about = "What a machine with this image must measure; each name says what its value covers."
    if before is None:
        about = f"The release names this platform and boot mode for the first time. {about}"
    if after is None:
        about = f"The release no longer names this platform and boot mode. {about}"
    old, new = (() if item is None else measured(item) for item in (before, after))
    return compared(f"measurement/{platform}/{boot_mode}", f"Measurements on {name}", old, new, about=about)


def measured(item: Measurement) -> Iterator[Item]:
    """Yield everything that a measurement states, each with its name in words, its value in words, and the value."""
    yield plain(KIND, DEBUG if item.is_debug else "locked down")
    yield digest("image (Authenticode)", item.image_authenticode)
    yield plain("image shows in", f"PCR {item.image_pcr}")
    yield from _allowed("PCR 0 (firmware)", item.pcr0_allowed, ANYTHING)
    yield from _allowed("boot entries and ACPI tables", item.acpi_allowed, ANYTHING)
    yield from (digest(f"PCR {index} ({COVERS[index]})", value) for index, value in item.pcrs)
    yield from (digest(f"RTMR {index}", value) for index, value in item.rtmrs)
    yield from _allowed("launch measurement of the CPU", item.launch_measurements, "none is named")
    yield Item(("boot phases",), ", ".join(item.phases) or "none", item.phases)
    for event in item.pcr15_template:
        said = "differs from boot to boot" if event.data is None else to_base64(event.data)
        yield Item((f"PCR 15, event {event.kind}",), said, event.data)


def _allowed(name: str, values: tuple[bytes, ...], none: str) -> Iterator[Item]:
    """Yield one for each value of a list, in which order counts for nothing: one that grew by one says so."""
    if not values:
        yield plain(name, none)
    yield from (Item((name,), value.hex(), value, value.hex()) for value in values)
