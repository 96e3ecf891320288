"""What the commands about an image's contents say, as lines for people and as values for programs."""

from __future__ import annotations

import argparse
import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from client_sdk.errors import printable
from provisioner.contents import counts
from provisioner.contents.entry import PartEntry, PartName
from provisioner.contents.image import Contents
from provisioner.contents.packages import files_of, read_packages
from provisioner.contents.units import Unit, find_unit, read_units
from provisioner.contents.way import Link, way
from provisioner.errors import Fault, NotInImageError, SpecError
from provisioner.measure import predict

Where = tuple[PartName, str]
_RULES = ".nft"
_MAX_TEXT = 16 << 20  # of a unit or of rules; both have some hundred lines


@dataclass(frozen=True, slots=True)
class Shown:
    """Values for a program, and lines for a person; or the bytes of a file in ``pieces``."""

    data: Any
    lines: Iterable[str] = ()
    pieces: Iterable[bytes] | None = None


def listing(contents: Contents, where: Where, arguments: argparse.Namespace) -> Shown:
    """List entries of a part, at a path and below it."""
    name, path = where
    root = f"/{path.strip('/')}"
    chosen = [e for e in contents.part(name).walk() if root in ("/", e.path) or e.path.startswith(f"{root}/")]
    if not chosen:
        raise NotInImageError(f"there is no {root} in the part {name} of the image")
    rows = [_as_dict(entry, digests=arguments.digests) for entry in chosen]
    return Shown({"part": name, "entries": rows}, (_row(row) for row in rows))


def cat(contents: Contents, where: Where, _: argparse.Namespace) -> Shown:
    """Give the contents of a file."""
    entry = _file(contents, where)
    entry.sha256()  # all of it is held against the root hash before the first byte is written
    return Shown(None, pieces=entry.pieces())


def show(contents: Contents, where: Where, _: argparse.Namespace) -> Shown:
    """Say what a file is, and how one gets from it to a PCR."""
    entry = _file(contents, where)
    links = way(contents, where[0], entry, predict(contents.folder))
    told = _as_dict(entry, digests=True) | {"part": where[0], "way": [asdict(link) for link in links]}
    return Shown(told, (_row(told), *way_lines(links)))


def units(contents: Contents, _: Where, arguments: argparse.Namespace) -> Shown:
    """List the units, or give one with what is laid over it."""
    found = read_units(tuple(contents.part(PartName.ROOT).walk()))
    if arguments.unit:
        one = find_unit(found, arguments.unit)
        return Shown(_unit(one) | {"text": "\n".join(_fragments(one))}, _fragments(one))
    width = max(len(unit.name) for unit in found)
    lines = (f"{one.state:8} {one.name:{width}} {_started(one)}".rstrip() for one in found)
    return Shown([_unit(one) for one in found], lines)


def firewall(contents: Contents, _: Where, __: argparse.Namespace) -> Shown:
    """Give the rules of the firewall, and the units that load them."""
    entries = tuple(contents.part(PartName.ROOT).walk())
    rules = [entry for entry in entries if entry.is_file and entry.path.endswith(_RULES)]
    if not rules:
        raise NotInImageError("the image has no rules of a firewall")
    return Shown(None, (line for entry in rules for line in _rules(entry, read_units(entries))))


def packages(contents: Contents, _: Where, arguments: argparse.Namespace) -> Shown:
    """List the packages of an image, or say all about one."""
    found = read_packages(contents.folder)
    chosen = [one for one in found.all if arguments.package in (None, one.name)]
    if not chosen:
        raise NotInImageError(f"the image has no package {arguments.package}")
    named = found.manifest_sha256.hex()
    told: dict[str, Any] = {"manifest_sha256": named, "packages": [one.as_dict() for one in chosen]}
    lines = [one.line() for one in chosen]
    if arguments.package is None:
        lines.append(f"packages {counts.of_both(found.manifest, found.bill)}")
    if arguments.archive is not None:
        held = files_of(chosen[0], contents, arguments.archive)
        told["files"] = [asdict(one) for one in held]
        lines += [f"  {one.state:7} {one.part:6} {printable(one.path)}" for one in held]
    return Shown(told, (*lines, f"manifest {named}"))


ACTIONS: dict[str, Callable[[Contents, Where, argparse.Namespace], Shown]] = {
    "list": listing,
    "cat": cat,
    "show": show,
    "units": units,
    "firewall": firewall,
    "packages": packages,
}


def way_lines(links: Iterable[Link]) -> Iterator[str]:
    """Write links for a person, each as what it is, its digest, and how one came to it."""
    for link in links:
        yield f"  -> {printable(link.what)}"
        yield f"     {link.digest}  {link.how}"


def _file(contents: Contents, where: Where) -> PartEntry:
    name, path = where
    entry = contents.part(name).find(path)
    if entry.is_folder or not (entry.is_file or entry.is_link):
        got = "something else, which has no contents; `vitrine image list` says what it is"
        raise SpecError((Fault(path or "/", "a file or a link", got),))
    return entry


def _as_dict(entry: PartEntry, *, digests: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "path": entry.path,
        "mode": f"{entry.mode:06o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
    }
    if entry.is_link:
        told["target"] = entry.target
    if digests and entry.is_file:
        told["sha256"] = entry.sha256()
    return told


def _row(told: dict[str, Any]) -> str:
    kind = stat.filemode(int(told["mode"], 8))
    target = f" -> {told['target']}" if "target" in told else ""
    hashed = f"{told['sha256']}  " if "sha256" in told else ""
    return f"{hashed}{kind} {told['uid']:>5} {told['gid']:>5} {told['size']:>10} {printable(told['path'] + target)}"


def _unit(unit: Unit) -> dict[str, Any]:
    return {
        "name": unit.name,
        "state": unit.state,
        "file": unit.file.path if unit.file else None,
        "over": [entry.path for entry in unit.over],
        "started_by": list(unit.started_by),
    }


def _started(unit: Unit) -> str:
    return f"by {', '.join(unit.started_by)}" if unit.started_by else ""


def _fragments(unit: Unit) -> Iterator[str]:
    for entry in (*((unit.file,) if unit.file else ()), *unit.over):
        data = entry.read(_MAX_TEXT)
        yield f"# {entry.path}  sha256 {hashlib.sha256(data).hexdigest()}"
        yield from (printable(line) for line in data.decode("utf-8", "replace").splitlines())
        yield ""


def _rules(entry: PartEntry, found: Iterable[Unit]) -> Iterator[str]:
    data = entry.read(_MAX_TEXT)
    loaders = [unit.name for unit in found if unit.file and entry.path.encode() in unit.file.read(_MAX_TEXT)]
    yield f"# {entry.path}  sha256 {hashlib.sha256(data).hexdigest()}"
    yield f"# loaded by {', '.join(loaders) or 'no unit'}"
    yield from (printable(line) for line in data.decode("utf-8", "replace").splitlines())
