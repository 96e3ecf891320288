"""What is in an image and what built it, compared with another: packages, roles, files, models, boot.

Whether a manifest is the one that a release names is for the caller to check first (``manifest.digest``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from client_sdk.changes.compare import Change, Item, Section, compared, digest, plain
from client_sdk.manifest import Manifest, Model, Package, Verity

UNNAMED, ISSUER, COMMIT = "not named", "API tokens are signed by", "source commit"
_ABOUT = {
    "packages": "Debian packages whose files are in the image.",
    "wheels": "Python packages whose files are in the image.",
    "models": "Where each model comes from, and each of its files.",
    "boot": "What the firmware loads, and what it leads to.",
    "cmdline": "What the kernel reads at its start; vitrine.root and vitrine.model name the two disks by digest.",
    "keys": "Whose API tokens the service takes, and which commit the image was built from.",
    "tools": "Packages that build the image; their files are not in it.",
    "sources": "Files of the project that belong to no role: what serves in the image, and what builds it.",
}


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


def _section(key: str, title: str, before: Iterable[Item], after: Iterable[Item]) -> Section:
    return compared(key, title, before, after, about=_ABOUT[key])


def _packages(found: tuple[Package, ...]) -> Iterator[Item]:
    return (Item((item.name,), item.version, f"{item.version}, SHA-256 {item.sha256.hex()}") for item in found)


def _models(found: tuple[Model, ...]) -> Iterator[Item]:
    for item in found:
        for field in ("engine", "repository", "revision"):
            said = getattr(item, field)
            yield Item((item.name, field), said, said)
        yield from (Item((item.name, "file", path), value.hex(), value) for path, value in item.files)


def _roles(before: Manifest, after: Manifest) -> Iterator[Section]:
    names = {role for manifest in (before, after) for path, _ in manifest.files if (role := _role(path))}
    for name in sorted(names):
        old, new = list(_files(before, name)), list(_files(after, name))
        how = "The role is new. " if not old else "The role is gone. " if not new else ""
        about = f"{how}Files that the role puts into the image, and the tasks that do."
        yield compared(f"role/{name}", f"Role {name}", old, new, about=about)


def _role(path: str) -> str:
    parts = path.split("/")
    return parts[1] if parts[0] == "roles" and len(parts) > 2 else ""


def _files(manifest: Manifest, role: str) -> Iterator[Item]:
    return (digest(path, value) for path, value in manifest.files if _role(path) == role)


def _booted(manifest: Manifest) -> Iterator[Item]:
    boot = manifest.boot
    yield plain("kernel", manifest.kernel)
    yield digest("image, a UKI (SHA-256)", boot.uki_sha256)
    yield digest("image, a UKI (Authenticode)", boot.uki_authenticode)
    yield digest("boot stub (SHA-256)", boot.stub_sha256)
    yield digest("kernel's file (SHA-256)", boot.linux_sha256)
    yield digest("initrd (SHA-256)", boot.initrd_sha256)
    yield from _disk("root file system", manifest.root)
    yield from _disk("model disk", manifest.model_disk)


def _disk(name: str, disk: Verity) -> Iterator[Item]:
    yield digest(f"{name}, verity root hash", disk.root_hash)
    yield digest(f"{name}, salt", disk.salt)
    yield plain(f"{name}, blocks of 4 KiB", str(disk.data_blocks))
    yield plain(f"{name}, UUID", disk.uuid)


def _cmdline(before: str, after: str) -> Section:
    """Compare the words; where those are the same, their order."""
    found = _section("cmdline", "Kernel command line", _words(before), _words(after))
    if found.changes or before == after:
        return found
    return replace(found, changes=(Change("the words in order", before, after),))


def _words(cmdline: str) -> Iterator[Item]:
    parts = [word.partition("=") for word in cmdline.split()]
    return (Item((name,), value if equals else "set", (equals, value)) for name, equals, value in parts)


def _keys(manifest: Manifest) -> Iterator[Item]:
    issuer, commit = manifest.token_issuer_key, manifest.source_commit
    yield Item((ISSUER,), issuer or "nobody: there are none", issuer)
    yield Item((COMMIT,), commit or UNNAMED, commit)
