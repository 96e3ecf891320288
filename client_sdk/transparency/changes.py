"""What changed from one release to the next, down to packages, roles, files and measurements: as data and in words.

Pure comparison of parsed values. It says what two publishers' documents say, and judges neither: whether a manifest is
the one that a release names is for the caller to check first (``manifest.digest``), as is who signed the release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from client_sdk.accept import COVERS
from client_sdk.encoding import to_base64
from client_sdk.errors import printable
from client_sdk.fields import format_instant
from client_sdk.manifest import Manifest, Model, Package, Verity
from client_sdk.release import Measurement, Release

NEW, GONE, CHANGED = "new", "gone", "changed"
_SHORT = 16
_ABOUT = {
    "statement": "What the publisher's signature covers besides the image.",
    "packages": "Debian packages whose files are in the image.",
    "wheels": "Python packages whose files are in the image.",
    "models": "Where each model comes from, and each of its files.",
    "boot": "What the firmware loads, and what it leads to.",
    "cmdline": "What the kernel reads at its start; vitrine.root and vitrine.model name the two disks by digest.",
    "keys": "Whose API tokens the service takes, and which commit the image was built from.",
    "tools": "Packages that build the image; their files are not in it.",
    "sources": "Files of the project that belong to no role: what serves in the image, and what builds it.",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was; ``before`` is None where it is new, ``after`` where it is gone.

    ``note`` says what the values alone do not.
    """

    what: str
    before: str | None
    after: str | None
    note: str = ""

    @property
    def kind(self) -> str:
        """One of ``new``, ``gone`` and ``changed``."""
        return NEW if self.before is None else GONE if self.after is None else CHANGED


@dataclass(frozen=True, slots=True)
class Section:
    """All changes of one kind of thing; ``alike`` is how many of its things are as they were.

    ``key`` says the kind; those of roles and measurements begin with ``role/`` and ``measurement/``.
    """

    key: str
    title: str
    about: str
    changes: tuple[Change, ...]
    alike: int

    @property
    def counts(self) -> str:
        """How many changed, in words: "2 changed, 1 new"."""
        counted = Counter(change.kind for change in self.changes)
        return ", ".join(f"{counted[kind]} {kind}" for kind in (CHANGED, NEW, GONE) if counted[kind])

    @property
    def summary(self) -> str:
        """The same, and how many did not: "2 changed, 1 new, 40 as before"."""
        return f"{self.counts}, {self.alike} as before" if self.alike else self.counts


class Entry(NamedTuple):
    """One thing to compare: its name in parts, its value in words, and the value itself.

    ``apart`` tells things of one name apart where they have no order: they are compared as a set.
    """

    name: tuple[str, ...]
    said: str
    value: object
    apart: str = ""


_Place = tuple[tuple[str, ...], str, int]


def statements(before: Release, after: Release) -> tuple[Section, ...]:
    """Compare what two releases state themselves: dates, revocations, and measurements by platform and boot mode.

    A section in which nothing changed is left out.
    """
    old, new = _measured(before), _measured(after)
    measured = (_measurement(key, old.get(key), new.get(key)) for key in dict.fromkeys([*new, *old]))
    stated = _section("statement", "The release's own words", _statement(before), _statement(after))
    return tuple(section for section in (stated, *measured) if section.changes)


def contents(before: Manifest, after: Manifest) -> tuple[Section, ...]:
    """Compare what is in two images, and what built them. A section in which nothing changed is left out."""
    every = (
        _section("packages", "Packages of the image", _packages(before.packages), _packages(after.packages)),
        _section("wheels", "Python packages of the image", _packages(before.wheels), _packages(after.wheels)),
        _section("models", "Models", _models(before.models), _models(after.models)),
        *_roles(before, after),
        _section("sources", "Other files of the source", _files(before, ""), _files(after, "")),
        _section("boot", "Kernel and boot", _booted(before), _booted(after)),
        _cmdline(before.boot.cmdline, after.boot.cmdline),
        _section("keys", "Token key and source", _keys(before), _keys(after)),
        _section("tools", "Tools that built it", _packages(before.tools), _packages(after.tools)),
    )
    return tuple(section for section in every if section.changes)


def alarms(sections: Iterable[Section]) -> Iterator[str]:
    """Say what a reader must not miss: changes that few have a good reason for."""
    for section in sections:
        for change in section.changes:
            if section.key.startswith("measurement/"):
                yield from _alarms_of_a_platform(section, change)
            elif section.key in {"packages", "wheels", "tools"} and change.note:
                yield f"{change.what} has other bytes under the same version: ask why."
            elif section.key == "cmdline" and change.what == "vitrine.mode":
                yield f"The image says that its mode is {change.after or 'none'}; it was {change.before or 'none'}."
            else:
                for how in (change.after or "", change.kind):
                    yield from _ALARMS.get((section.key, change.what, how), ())
                if section.key == "statement" and change.what.startswith("revokes ") and change.kind == GONE:
                    yield f"It no longer {change.what}: what was revoked once must stay so."


_UNNAMED, _ISSUER, _COMMIT = "not named", "API tokens are signed by", "source commit"
_ALARMS: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("keys", _COMMIT, _UNNAMED): ("It names no commit any more: nobody can tell what it was built from.",),
    ("keys", _ISSUER, CHANGED): ("API tokens are taken from another issuer, or from none where there was one.",),
    ("statement", "service", CHANGED): ("It is another service.",),
}
_KIND, _ANYTHING = "kind of image", "anything: the release pins none"
_DEBUG = "DEBUG: it does not promise the whole lock-down"


def _alarms_of_a_platform(section: Section, change: Change) -> Iterator[str]:
    if change.what == _KIND and change.after == _DEBUG:
        yield f"{section.title}: the image goes without a part of the lock-down, or has a console (DEBUG)."
    pinned = any(other.what == change.what and other.kind == GONE for other in section.changes)
    if change.after == _ANYTHING and pinned:
        yield f"{section.title}: {change.what} may be anything now."


def words(change: Change) -> str:
    """Say a change in one line, with digests cut to their first digits: they differ, and nobody reads them."""
    old, new = _shorter(change.before or ""), _shorter(change.after or "")
    said = {NEW: f"new, {new}", GONE: f"gone, was {old}", CHANGED: f"{old} → {new}"}[change.kind]
    return printable(f"{change.what}: {said}" + (f" ({change.note})" if change.note else ""))


def lines(sections: Iterable[Section]) -> Iterator[str]:
    """Say all of it for a terminal, what a reader must not miss first."""
    sections = tuple(sections)
    if not sections:
        yield "Nothing changed."
    yield from map(printable, alarms(sections))
    for section in sections:
        yield printable(f"{section.title}: {section.summary}")
        yield from (f"  {words(change)}" for change in section.changes)


def as_dicts(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Return all of it for programs, with whole digests."""
    return [
        {
            "key": section.key,
            "title": section.title,
            "alike": section.alike,
            "changes": [
                {"what": c.what, "kind": c.kind, "before": c.before, "after": c.after, "note": c.note}
                for c in section.changes
            ],
        }
        for section in sections
    ]


def _section(key: str, title: str, before: Iterable[Entry], after: Iterable[Entry], *, about: str = "") -> Section:
    """Compare entries by name; what is new or changed stands in the order of the newer one."""
    old, new = _table(before), _table(after)
    pairs = [(name, old.get(name), new.get(name)) for name in dict.fromkeys([*new, *old])]
    found = tuple(_change(name, was, now) for name, was, now in pairs if not _same(was, now))
    return Section(key, title, about or _ABOUT[key], found, len(pairs) - len(found))


def _table(entries: Iterable[Entry]) -> dict[_Place, Entry]:
    """Key entries by name and by how often it stood there before: a name twice hides nothing."""
    seen: Counter[tuple[tuple[str, ...], str]] = Counter()
    found = {}
    for entry in entries:
        key = entry.name, entry.apart
        seen[key] += 1
        found[*key, seen[key]] = entry
    return found


def _same(before: Entry | None, after: Entry | None) -> object:
    return before is not None and after is not None and before.value == after.value


def _change(place: _Place, before: Entry | None, after: Entry | None) -> Change:
    name, _, number = place
    what = ": ".join(name) if number == 1 else f"{': '.join(name)} (number {number} of this name)"
    if before is None or after is None or before.said != after.said:
        return Change(what, before and before.said, after and after.said)
    old, new = (str(entry.value) for entry in (before, after))
    return Change(what, old, new, f"both say {before.said}, and they are not the same")


def _plain(name: str, said: str) -> Entry:
    return Entry((name,), said, said)


def _digest(name: str, value: bytes) -> Entry:
    return _plain(name, value.hex())


def _statement(release: Release) -> Iterator[Entry]:
    yield _plain("number", str(release.number))
    yield _plain("service", release.service)
    yield _plain("in force from", format_instant(release.not_before))
    yield _plain("in force until", format_instant(release.not_after))
    yield _digest("manifest (SHA-256)", release.manifest_sha256)
    if release.supersedes is not None:
        yield _plain("supersedes", f"release {release.supersedes}")
    yield from (_plain(f"revokes release {number}", "not to be used any more") for number in release.revokes)


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
    return _section(f"measurement/{platform}/{boot_mode}", f"Measurements on {name}", old, new, about=about)


def measured(item: Measurement) -> Iterator[Entry]:
    """Yield everything that a measurement states, each with its name in words, its value in words, and the value."""
    yield _plain(_KIND, _DEBUG if item.is_debug else "locked down")
    yield _digest("image (Authenticode)", item.image_authenticode)
    yield _plain("image shows in", f"PCR {item.image_pcr}")
    yield from _allowed("PCR 0 (firmware)", item.pcr0_allowed, _ANYTHING)
    yield from _allowed("boot entries and ACPI tables", item.acpi_allowed, _ANYTHING)
    yield from (_digest(f"PCR {index} ({COVERS[index]})", value) for index, value in item.pcrs)
    yield from (_digest(f"RTMR {index}", value) for index, value in item.rtmrs)
    yield from _allowed("launch measurement of the CPU", item.launch_measurements, "none is named")
    yield Entry(("boot phases",), ", ".join(item.phases) or "none", item.phases)
    for event in item.pcr15_template:
        said = "differs from boot to boot" if event.data is None else to_base64(event.data)
        yield Entry((f"PCR 15, event {event.kind}",), said, event.data)


def _allowed(name: str, values: tuple[bytes, ...], none: str) -> Iterator[Entry]:
    """Yield an entry for each value of a list, in which order counts for nothing: one that grew by one says so."""
    if not values:
        yield _plain(name, none)
    yield from (Entry((name,), value.hex(), value, value.hex()) for value in values)


def _packages(found: tuple[Package, ...]) -> Iterator[Entry]:
    return (Entry((item.name,), item.version, f"{item.version}, SHA-256 {item.sha256.hex()}") for item in found)


def _models(found: tuple[Model, ...]) -> Iterator[Entry]:
    for item in found:
        for field in ("engine", "repository", "revision"):
            said = getattr(item, field)
            yield Entry((item.name, field), said, said)
        yield from (Entry((item.name, "file", path), value.hex(), value) for path, value in item.files)


def _roles(before: Manifest, after: Manifest) -> Iterator[Section]:
    names = {role for manifest in (before, after) for path, _ in manifest.files if (role := _role(path))}
    for name in sorted(names):
        old, new = list(_files(before, name)), list(_files(after, name))
        how = "The role is new. " if not old else "The role is gone. " if not new else ""
        about = f"{how}Files that the role puts into the image, and the tasks that do."
        yield _section(f"role/{name}", f"Role {name}", old, new, about=about)


def _role(path: str) -> str:
    parts = path.split("/")
    return parts[1] if parts[0] == "roles" and len(parts) > 2 else ""


def _files(manifest: Manifest, role: str) -> Iterator[Entry]:
    return (_digest(path, value) for path, value in manifest.files if _role(path) == role)


def _booted(manifest: Manifest) -> Iterator[Entry]:
    boot = manifest.boot
    yield _plain("kernel", manifest.kernel)
    yield _digest("image, a UKI (SHA-256)", boot.uki_sha256)
    yield _digest("image, a UKI (Authenticode)", boot.uki_authenticode)
    yield _digest("boot stub (SHA-256)", boot.stub_sha256)
    yield _digest("kernel's file (SHA-256)", boot.linux_sha256)
    yield _digest("initrd (SHA-256)", boot.initrd_sha256)
    yield from _disk("root file system", manifest.root)
    yield from _disk("model disk", manifest.model_disk)


def _disk(name: str, disk: Verity) -> Iterator[Entry]:
    yield _digest(f"{name}, verity root hash", disk.root_hash)
    yield _digest(f"{name}, salt", disk.salt)
    yield _plain(f"{name}, blocks of 4 KiB", str(disk.data_blocks))
    yield _plain(f"{name}, UUID", disk.uuid)


def _cmdline(before: str, after: str) -> Section:
    """Compare the words; where those are the same, their order."""
    found = _section("cmdline", "Kernel command line", _words(before), _words(after))
    if found.changes or before == after:
        return found
    return replace(found, changes=(Change("the words in order", before, after),))


def _words(cmdline: str) -> Iterator[Entry]:
    parts = [word.partition("=") for word in cmdline.split()]
    return (Entry((name,), value if equals else "set", (equals, value)) for name, equals, value in parts)


def _keys(manifest: Manifest) -> Iterator[Entry]:
    issuer, commit = manifest.token_issuer_key, manifest.source_commit
    yield Entry((_ISSUER,), issuer or "nobody: there are none", issuer)
    yield Entry((_COMMIT,), commit or _UNNAMED, commit)


def _shorter(said: str) -> str:
    """Cut digests; versions, words and paths are said whole."""
    is_digest = len(said) >= 40 and not set(said) - set("0123456789abcdef")
    return f"{said[:_SHORT]}…" if is_digest else said
