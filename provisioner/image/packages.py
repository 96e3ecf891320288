"""The package lock: what a release bake may be made of, to the byte."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError

LOCK_VERSION = 2
TREES = ("image", "tools", "driver")
EVERY_BAKE = ("image", "tools")
LOCK_FILE = "packages.lock.json"
WANTED_FILE = "wanted.json"

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+:~-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ARCHITECTURES = ("amd64", "all")


@dataclass(frozen=True, slots=True)
class Package:
    """One Debian package file, named by its content."""

    name: str
    version: str
    architecture: str
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The packages of one tree; ``unpacked`` names those that are unpacked only, never installed."""

    packages: tuple[Package, ...]
    unpacked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageLock:
    """The trees, resolved against one state of the mirror, and the instant that stands for all time stamps.

    ``driver`` is what the GPU driver is built from and with: only the bake of a GPU image has it.
    """

    suite: str
    epoch: int
    image: Tree
    tools: Tree
    driver: Tree

    def tree(self, name: str) -> Tree:
        """Return one of the trees by name."""
        return {"image": self.image, "tools": self.tools, "driver": self.driver}[name]

    def files(self, trees: tuple[str, ...] = TREES) -> tuple[Package, ...]:
        """Return every package file of these trees once, ordered by name."""
        found = {package for name in trees for package in self.tree(name).packages}
        return tuple(sorted(found, key=lambda p: (p.name, p.version)))

    def digest(self, name: str) -> str:
        """Hash what one tree is made of; where in the archive a file lies today is no part of it."""
        tree = self.tree(name)
        contents = [(package.name, package.version, package.sha256) for package in tree.packages]
        parts = {"epoch": self.epoch, name: contents, "unpacked": list(tree.unpacked)}
        return hashlib.sha256(canonical_json(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The top-level packages of one tree, each with the reason why it is there."""

    install: dict[str, str]
    unpack: dict[str, str]


def parse_lock(data: bytes) -> PackageLock:
    """Read a lock file.

    Does not say that any mirror still has these files, nor that they are good: only that the lock is well formed.

    Raises:
        BakeError: it is malformed; it names the field.
    """
    fields = _object(read_json(data, "package lock"), "package lock", {"version", "suite", "epoch", "trees"})
    if fields["version"] != LOCK_VERSION:
        raise BakeError(f"package lock: version {fields['version']!r}, expected {LOCK_VERSION}; run `make lock`")
    trees = _object(fields["trees"], "package lock: trees", set(TREES))
    epoch = fields["epoch"]
    if type(epoch) is not int or epoch <= 0:
        raise BakeError(f"package lock: epoch: expected seconds since 1970, got {epoch!r}")
    lock = PackageLock(
        suite=_text(fields["suite"], "package lock: suite", _NAME),
        epoch=epoch,
        image=_parse_tree(trees["image"], "image"),
        tools=_parse_tree(trees["tools"], "tools"),
        driver=_parse_tree(trees["driver"], "driver"),
    )
    _refuse_two_versions(lock)
    return lock


def serialise_lock(lock: PackageLock) -> bytes:
    """Write a lock file: one package a line, so that a refresh reads well as a difference."""
    lines = [f'{{\n "version": {LOCK_VERSION},\n "suite": "{lock.suite}",\n "epoch": {lock.epoch},\n "trees": {{']
    for index, name in enumerate(TREES):
        tree = _tree_to_json(lock.tree(name))
        rows = ",\n".join("   " + json.dumps(row, sort_keys=True) for row in tree["packages"])
        comma = "," if index + 1 < len(TREES) else ""
        unpacked = json.dumps(tree["unpacked"])
        lines.append(f'  "{name}": {{"unpacked": {unpacked}, "packages": [\n{rows}\n  ]}}{comma}')
    return ("\n".join(lines) + "\n }\n}\n").encode()


def shipped_lock() -> PackageLock:
    """Read the lock that belongs to this source tree."""
    return parse_lock(data_file(LOCK_FILE))


def shipped_wanted(tree: str) -> Wanted:
    """Read the wanted packages of one tree, with the reasons."""
    fields = read_json(data_file(WANTED_FILE), WANTED_FILE)[tree]
    return Wanted(install=dict(fields["install"]), unpack=dict(fields["unpack"]))


def data_file(name: str) -> bytes:
    """Return the bytes of one of our data files."""
    return resources.files("provisioner.image").joinpath("data", name).read_bytes()


def data_path(name: str) -> Path:
    """Return where one of our data files lies, for the commands that rewrite it."""
    return Path(str(resources.files("provisioner.image"))) / "data" / name


def _tree_to_json(tree: Tree) -> dict[str, Any]:
    rows = [
        {
            "name": package.name,
            "version": package.version,
            "architecture": package.architecture,
            "filename": package.filename,
            "size": package.size,
            "sha256": package.sha256,
        }
        for package in tree.packages
    ]
    return {"packages": rows, "unpacked": list(tree.unpacked)}


def _parse_tree(value: Any, name: str) -> Tree:
    where = f"package lock: {name}"
    fields = _object(value, where, {"packages", "unpacked"})
    if not isinstance(fields["packages"], list) or not fields["packages"]:
        raise BakeError(f"{where}: expected a list of packages, got none")
    packages = tuple(_parse_package(row, f"{where}[{index}]") for index, row in enumerate(fields["packages"]))
    names = [package.name for package in packages]
    if len(set(names)) != len(names):
        raise BakeError(f"{where}: a package is named twice")
    unpacked = fields["unpacked"]
    if not isinstance(unpacked, list) or not set(unpacked) <= set(names):
        raise BakeError(f"{where}: unpacked names a package that is not locked: {unpacked!r}")
    return Tree(packages=tuple(sorted(packages, key=lambda p: p.name)), unpacked=tuple(sorted(unpacked)))


def _parse_package(value: Any, where: str) -> Package:
    fields = _object(value, where, {"name", "version", "architecture", "filename", "size", "sha256"})
    if type(fields["size"]) is not int or fields["size"] <= 0:
        raise BakeError(f"{where}: size: expected a positive integer, got {fields['size']!r}")
    if fields["architecture"] not in _ARCHITECTURES:
        raise BakeError(f"{where}: architecture: expected one of {_ARCHITECTURES}, got {fields['architecture']!r}")
    return Package(
        name=_text(fields["name"], f"{where}: name", _NAME),
        version=_text(fields["version"], f"{where}: version", _VERSION),
        architecture=fields["architecture"],
        filename=_pool_path(fields["filename"], f"{where}: filename"),
        size=fields["size"],
        sha256=_text(fields["sha256"], f"{where}: sha256", _SHA256),
    )


def _pool_path(value: Any, where: str) -> str:
    path = PurePosixPath(value) if isinstance(value, str) else PurePosixPath()
    if path.parts[:1] != ("pool",) or ".." in path.parts or path.suffix != ".deb" or str(path) != value:
        raise BakeError(f"{where}: expected a .deb below pool/, got {value!r}")
    return str(value)


def _refuse_two_versions(lock: PackageLock) -> None:
    versions: dict[str, str] = {}
    for package in lock.files():
        if versions.setdefault(package.name, package.version) != package.version:
            raise BakeError(f"package lock: {package.name} has two versions; the trees must hold the same")


def read_json(data: bytes, where: str) -> Any:
    """Read JSON in which no key stands twice.

    Raises:
        BakeError: it is malformed.
    """
    try:
        return json.loads(data, object_pairs_hook=_unique)
    except ValueError as error:
        raise BakeError(f"{where}: not JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _object(value: Any, where: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != keys:
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise BakeError(f"{where}: expected the fields {sorted(keys)}, got {got}")
    return value


def _text(value: Any, where: str, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BakeError(f"{where}: malformed: {value!r}")
    return value
