"""What changed from one release to another: packages, roles, files, models, boot, measurements and terms.

Everything comes from two releases and the two manifests that they name by digest. It says *what* differs. Whether a
change is good, and that nothing else changed inside a package, it does not say: for that somebody reads the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from client_sdk.fields import format_instant
from client_sdk.manifest import Manifest, Package, Verity
from client_sdk.release import Measurement, Release

ADDED, REMOVED, CHANGED, REBUILT = "added", "removed", "changed", "rebuilt"
PARTS = ("package", "tool", "wheel", "model", "boot", "disk", "role", "service", "source", "measurement", "term")
"""The kinds of change, in the order in which they are told."""
_SOURCES = {"roles": "role", "serving": "service"}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs. ``before`` or ``after`` is empty where it was not there.

    ``part`` is one of :data:`PARTS`, ``group`` what it belongs to (a role's name, a model's, a platform), ``name`` what
    it is. A package is ``rebuilt`` where its bytes differ and its version does not.
    """

    part: str
    group: str
    name: str
    before: str
    after: str
    kind: str

    def as_dict(self) -> dict[str, str]:
        """Return it as plain values for JSON."""
        return {name: getattr(self, name) for name in ("part", "group", "name", "kind", "before", "after")}


def manifest_changes(old: Manifest, new: Manifest) -> tuple[Change, ...]:
    """Return what differs between two images, in the order of :data:`PARTS`."""
    found = [
        *_packages("package", old.packages, new.packages),
        *_packages("tool", old.tools, new.tools),
        *_packages("wheel", old.wheels, new.wheels),
        *_models(old, new),
        *_facts("boot", "", _boot(old), _boot(new)),
        *_facts("boot", "command line", _words(old.boot.cmdline), _words(new.boot.cmdline)),
        *_facts("disk", "root", _verity(old.root), _verity(new.root)),
        *_facts("disk", "model", _verity(old.model_disk), _verity(new.model_disk)),
        *_files(old, new),
    ]
    return tuple(sorted(found, key=lambda change: PARTS.index(change.part)))


def release_changes(old: Release, new: Release) -> tuple[Change, ...]:
    """Return what differs between what two releases state: their measurements and their terms."""
    before, after = (
        {_platform(i, one, release): one for i, one in enumerate(release.measurements)} for release in (old, new)
    )
    found: list[Change] = []
    for platform in sorted(before.keys() | after.keys()):
        found += _facts("measurement", platform, _measured(before.get(platform)), _measured(after.get(platform)))
    return (*found, *_facts("term", "", _terms(old), _terms(new)), *_revoked(old, new))


def _packages(part: str, old: Iterable[Package], new: Iterable[Package]) -> Iterator[Change]:
    before, after = _by_name(old), _by_name(new)
    for name in sorted(before.keys() | after.keys()):
        first, second = before.get(name, ()), after.get(name, ())
        if first == second:
            continue
        versions = _versions(first), _versions(second)
        if versions[0] == versions[1]:
            yield Change(part, "", name, _with_digests(first), _with_digests(second), REBUILT)
        else:
            yield Change(part, "", name, *versions, _kind(*versions))


def _by_name(packages: Iterable[Package]) -> Mapping[str, tuple[Package, ...]]:
    """Gather packages by name: one may be there in several versions, or for several architectures."""
    found: dict[str, tuple[Package, ...]] = {}
    for package in packages:
        found[package.name] = tuple(
            sorted((*found.get(package.name, ()), package), key=lambda one: (one.version, one.sha256))
        )
    return found


def _versions(packages: Iterable[Package]) -> str:
    return ", ".join(package.version for package in packages)


def _with_digests(packages: Iterable[Package]) -> str:
    return ", ".join(f"{package.version} (SHA-256 {package.sha256.hex()})" for package in packages)


def _models(old: Manifest, new: Manifest) -> Iterator[Change]:
    before, after = ({model.name: model for model in manifest.models} for manifest in (old, new))
    for name in sorted(before.keys() | after.keys()):
        told = []
        for model in (before.get(name), after.get(name)):
            own = {} if model is None else {key: getattr(model, key) for key in ("engine", "repository", "revision")}
            told.append(own | {path: digest.hex() for path, digest in (() if model is None else model.files)})
        yield from _facts("model", name, *told)


def _boot(manifest: Manifest) -> dict[str, str]:
    boot = manifest.boot
    return {
        "kernel": manifest.kernel,
        "kernel's file": boot.linux_sha256.hex(),
        "initrd": boot.initrd_sha256.hex(),
        "stub": boot.stub_sha256.hex(),
        "UKI": boot.uki_sha256.hex(),
        "UKI's Authenticode digest": boot.uki_authenticode.hex(),
        "issuer of access tokens": manifest.token_issuer_key,
        "source commit": manifest.source_commit,
    }


def _words(cmdline: str) -> dict[str, str]:
    """Take a command line apart; a word that is there twice counts, and so is kept."""
    found: dict[str, str] = {}
    for word in cmdline.split():
        name, sign, value = word.partition("=")
        found[name] = ", ".join(filter(None, (found.get(name, ""), value if sign else "set")))
    return found


def _verity(disk: Verity) -> dict[str, str]:
    size = f"{disk.data_blocks * 4096} bytes"
    return {"root hash": disk.root_hash.hex(), "salt": disk.salt.hex(), "size": size, "UUID": disk.uuid}


def _files(old: Manifest, new: Manifest) -> Iterator[Change]:
    before, after = ({path: digest.hex() for path, digest in manifest.files} for manifest in (old, new))
    for change in _facts("source", "", before, after):
        part, group = _place(change.name)
        yield Change(part, group, change.name, change.before, change.after, change.kind)


def _place(path: str) -> tuple[str, str]:
    """Say what a file of ours belongs to: a role, a service in the VM, or else a folder of the source."""
    first, *rest = path.split("/")
    if len(rest) < 2:
        return ("source", first)
    return (_SOURCES[first], rest[0]) if first in _SOURCES else ("source", f"{first}/{rest[0]}")


def _platform(index: int, one: Measurement, release: Release) -> str:
    """Name a measurement; of several for one platform and boot mode, by its place among them."""
    alike = [m for m in release.measurements[:index] if (m.platform, m.boot_mode) == (one.platform, one.boot_mode)]
    return f"{one.platform} {one.boot_mode}" + (f" ({len(alike) + 1})" if alike else "")


def _measured(one: Measurement | None) -> dict[str, str]:
    if one is None:
        return {}
    return {
        "UKI's Authenticode digest": one.image_authenticode.hex(),
        "PCR of the UKI": str(one.image_pcr),
        **{f"PCR {index}": value.hex() for index, value in one.pcrs},
        "PCR 0, allowed": _listed(one.pcr0_allowed),
        "ACPI tables, allowed": _listed(one.acpi_allowed),
        **{f"RTMR{index}": value.hex() for index, value in one.rtmrs},
        "launch measurements": _listed(one.launch_measurements),
        "phases": ", ".join(one.phases),
        **{
            f"PCR 15, {event.kind}": "from boot to boot" if event.data is None else event.data.hex()
            for event in one.pcr15_template
        },
        "lock-down": "not all of it: DEBUG" if one.is_debug else "whole",
    }


def _listed(values: Iterable[bytes]) -> str:
    return ", ".join(value.hex() for value in values) or "unpinned"


def _terms(release: Release) -> dict[str, str]:
    return {
        "number": str(release.number),
        "service": release.service,
        "valid from": format_instant(release.not_before),
        "valid until": format_instant(release.not_after),
        "manifest": release.manifest_sha256.hex(),
    }


def _revoked(old: Release, new: Release) -> Iterator[Change]:
    before, after = set(old.revokes), set(new.revokes)
    for number in sorted(before ^ after):
        told = ("revoked", "") if number in before else ("", "revoked")
        yield Change("term", "revoked", f"release {number}", *told, _kind(*told))


def _facts(part: str, group: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Compare named values; they are told in the order of the newer side, then what is gone."""
    for name in dict.fromkeys((*after, *before)):
        values = before.get(name, ""), after.get(name, "")
        if values[0] != values[1]:
            yield Change(part, group, name, *values, _kind(*values))


def _kind(before: str, after: str) -> str:
    return CHANGED if before and after else ADDED if after else REMOVED


def summary(changes: Iterable[Change]) -> tuple[str, ...]:
    """Say in sentences what a list of changes is about, what matters most to a client first."""
    many = tuple(changes)
    told = [*_alarms(many), *(sentence for part in PARTS for sentence in _sentence(part, many))]
    return tuple(told) or ("Nothing changed.",)


def _alarms(changes: tuple[Change, ...]) -> Iterator[str]:
    for change in changes:
        if change.name == "lock-down":
            yield f"The lock-down on {change.group} was {change.before or 'unstated'} and is {change.after or 'gone'}."
        elif change.name == "vitrine.mode":
            modes = change.after or "locked", change.before or "locked"
            yield f"The image is {modes[0]}, and was {modes[1]}: one that says DEBUG has a console."
        elif (change.name, change.after) == ("source commit", ""):
            yield "The manifest names no commit any more: nobody can tell what it was built from."
        elif change.name == "issuer of access tokens":
            yield "Access tokens are taken from another issuer, or from none where there was one."
        elif change.name == "service":
            yield f"It is another service: {change.before} before, {change.after} now."
        elif change.kind == REBUILT:
            yield f"{change.part.capitalize()} {change.name} has other bytes under the same version: ask why."


_NOUNS: Mapping[str, tuple[str, str]] = {
    "package": ("Debian package", "Debian packages"),
    "tool": ("tool of the build", "tools of the build"),
    "wheel": ("Python wheel", "Python wheels"),
}


def _sentence(part: str, changes: tuple[Change, ...]) -> Iterator[str]:
    own = [change for change in changes if change.part == part]
    if not own:
        return
    if part in _NOUNS:
        yield _of_packages(part, own)
    elif part in ("role", "service", "source"):
        groups = dict.fromkeys(change.group for change in own)
        plural = {"role": "Roles", "service": "Services in the VM", "source": "Other sources"}[part]
        yield f"{plural} with other files: {', '.join(groups)} ({_count(len(own), 'file', 'files')})."
    elif part == "term":
        yield from _of_terms(own)
    else:
        yield _OF_OTHERS[part](own)


def _of_packages(part: str, own: list[Change]) -> str:
    kinds = {kind: [change for change in own if change.kind == kind] for kind in (CHANGED, REBUILT, ADDED, REMOVED)}
    counted = [f"{len(found)} {kind}" for kind, found in kinds.items() if found]
    first = [_brief(change) for change in own[:3]]
    more = f" and {len(own) - 3} more" if len(own) > 3 else ""
    return f"{_count(len(own), *_NOUNS[part])}: {', '.join(counted)} ({', '.join(first)}{more})."


def _brief(change: Change) -> str:
    if change.kind == CHANGED:
        return f"{change.name} {change.before} → {change.after}"
    return f"{change.name} {change.kind}"


def _of_models(own: list[Change]) -> str:
    return f"Models that differ: {', '.join(dict.fromkeys(change.group for change in own))}."


def _of_boot(own: list[Change]) -> str:
    kernel = next((change for change in own if change.name == "kernel"), None)
    said = "The kernel is the same version" if kernel is None else f"The kernel is {kernel.after}, was {kernel.before}"
    words = [change.name for change in own if change.group == "command line"]
    return f"{said}; of the command line {', '.join(words) if words else 'nothing'} differs."


def _of_disks(own: list[Change]) -> str:
    return f"Disks with other contents: {', '.join(dict.fromkeys(change.group for change in own))}."


def _of_measurements(own: list[Change]) -> str:
    groups: dict[str, list[str]] = {}
    for change in own:
        groups.setdefault(change.group, []).append(change.name)
    return (
        "Measurements that differ: " + "; ".join(f"{name}: {', '.join(found)}" for name, found in groups.items()) + "."
    )


_OF_OTHERS = {"model": _of_models, "boot": _of_boot, "disk": _of_disks, "measurement": _of_measurements}


def _of_terms(own: list[Change]) -> Iterator[str]:
    terms = {change.name: change for change in own}
    if (until := terms.get("valid until")) is not None:
        yield f"It is valid until {until.after}, the other one until {until.before}."
    added = [change.name for change in own if change.group == "revoked" and change.kind == ADDED]
    gone = [change.name for change in own if change.group == "revoked" and change.kind == REMOVED]
    if added:
        yield f"It revokes {', '.join(added)}."
    if gone:
        yield f"It no longer revokes {', '.join(gone)}: what was revoked once must stay so."


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def as_dict(changes: Iterable[Change]) -> dict[str, Any]:
    """Return sentences and changes as plain values for JSON."""
    many = tuple(changes)
    return {"summary": list(summary(many)), "changes": [change.as_dict() for change in many]}
