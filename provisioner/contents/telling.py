"""What the commands about an image's contents say, as lines for people and as values for programs."""

from __future__ import annotations

import argparse
import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client_sdk.errors import EvidenceError, printable
from client_sdk.manifest import Manifest, digest
from provisioner.contents import counts
from provisioner.contents.deb import compare_deb
from provisioner.contents.entry import Entry
from provisioner.contents.image import Contents, Name
from provisioner.contents.units import Unit, find_unit, read_units
from provisioner.contents.way import Link, way
from provisioner.errors import BakeError, Fault, NotInImageError, SpecError
from provisioner.image.artefacts import MANIFEST
from provisioner.image.files import sha256_of
from provisioner.measure import predict
from provisioner.report.bill import Bill, read_bill

Where = tuple[Name, str]
_RULES = ".nft"


@dataclass(frozen=True, slots=True)
class Told:
    """Values for a program, or the bytes of a file; and lines for a person."""

    data: Any
    lines: Iterable[str] = ()


def listing(contents: Contents, where: Where, arguments: argparse.Namespace) -> Told:
    """List entries of a part, at a path and below it."""
    name, path = where
    root = f"/{path.strip('/')}"
    chosen = [e for e in contents.part(name).walk() if root in ("/", e.path) or e.path.startswith(f"{root}/")]
    if not chosen:
        raise NotInImageError(f"there is no {root} in the part {name} of the image")
    rows = [_as_dict(entry, digests=arguments.digests) for entry in chosen]
    return Told({"part": name, "entries": rows}, (_row(row) for row in rows))


def cat(contents: Contents, where: Where, _: argparse.Namespace) -> Told:
    """Give the contents of a file."""
    return Told(_file(contents, where).read())


def show(contents: Contents, where: Where, _: argparse.Namespace) -> Told:
    """Say what a file is, and how one gets from it to a PCR."""
    entry = _file(contents, where)
    links = way(contents, where[0], entry, predict(contents.folder))
    told = _as_dict(entry, digests=True) | {"part": where[0], "way": [asdict(link) for link in links]}
    return Told(told, (_row(told), *way_lines(links)))


def units(contents: Contents, _: Where, arguments: argparse.Namespace) -> Told:
    """List the units, or give one with what is laid over it."""
    found = read_units(tuple(contents.part("root").walk()))
    if arguments.unit:
        one = find_unit(found, arguments.unit)
        return Told(_unit(one) | {"text": "\n".join(_fragments(one))}, _fragments(one))
    width = max(len(unit.name) for unit in found)
    return Told([_unit(one) for one in found], (f"{u.state:8} {u.name:{width}} {_started(u)}".rstrip() for u in found))


def firewall(contents: Contents, _: Where, __: argparse.Namespace) -> Told:
    """Give the rules of the firewall, and the units that load them."""
    entries = tuple(contents.part("root").walk())
    rules = [entry for entry in entries if entry.is_file and entry.path.endswith(_RULES)]
    if not rules:
        raise NotInImageError("the image has no rules of a firewall")
    return Told(None, (line for entry in rules for line in _rules(entry, read_units(entries))))


def packages(contents: Contents, _: Where, arguments: argparse.Namespace) -> Told:
    """List the packages that the manifest names, or say all about one."""
    try:
        data = (contents.folder / MANIFEST).read_bytes()
        manifest = Manifest.from_json(data)
    except (OSError, EvidenceError) as error:
        raise BakeError(f"{contents.folder} has no manifest: {error}") from error
    bill = read_bill(contents.folder)
    rows = [row for row in _packages(manifest, bill) if arguments.package in (None, row["name"])]
    if not rows:
        raise NotInImageError(f"the image has no package {arguments.package}")
    named = digest(data).hex()
    told: dict[str, Any] = {"manifest_sha256": named, "packages": rows}
    if arguments.package is None:
        return Told(told, (*map(_package, rows), _counted(manifest, bill), f"manifest {named}"))
    if arguments.archive is None:
        return Told(told, (*map(_package, rows), f"manifest {named}"))
    held = _held(contents, arguments.archive, rows[0])
    files = (f"  {one['state']:7} {one['part']:6} {printable(one['path'])}" for one in held)
    return Told(told | {"files": held}, (*map(_package, rows), *files, f"manifest {named}"))


TOLD: dict[str, Callable[[Contents, Where, argparse.Namespace], Told]] = {
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


def _file(contents: Contents, where: Where) -> Entry:
    name, path = where
    entry = contents.part(name).find(path)
    if entry.is_folder or not (entry.is_file or entry.is_link):
        got = "something else, which has no contents; `vitrine image list` says what it is"
        raise SpecError((Fault(path or "/", "a file or a link", got),))
    return entry


def _as_dict(entry: Entry, *, digests: bool) -> dict[str, Any]:
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
        told["sha256"] = hashlib.sha256(entry.read()).hexdigest()
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
        data = entry.read()
        yield f"# {entry.path}  sha256 {hashlib.sha256(data).hexdigest()}"
        yield from (printable(line) for line in data.decode("utf-8", "replace").splitlines())
        yield ""


def _rules(entry: Entry, found: Iterable[Unit]) -> Iterator[str]:
    data = entry.read()
    loaders = [unit.name for unit in found if unit.file and entry.path.encode() in unit.file.read()]
    yield f"# {entry.path}  sha256 {hashlib.sha256(data).hexdigest()}"
    yield f"# loaded by {', '.join(loaders) or 'no unit'}"
    yield from (printable(line) for line in data.decode("utf-8", "replace").splitlines())


def _packages(manifest: Manifest, bill: Bill) -> Iterator[dict[str, Any]]:
    known = {listed.name: listed for listed in bill.packages}
    locked = {package.name: package for package in (*manifest.tools, *manifest.packages)}
    for name in sorted(known):
        listed = known[name]
        found = locked.get(name)
        if found is None:
            raise BakeError(f"the bill of materials has {name}, which the manifest does not name")
        yield {
            "name": name,
            "version": found.version,
            "sha256": found.sha256.hex(),
            "source": f"{listed.source} {listed.source_version}",
            "where": list(listed.where),
            "files_in_root": listed.files,
        }
    for wheel in manifest.wheels:
        yield {"name": wheel.name, "version": wheel.version, "sha256": wheel.sha256.hex(), "where": ["root"]}


def _held(contents: Contents, archive: Path, row: dict[str, Any]) -> list[dict[str, str]]:
    """Say what became of each file of a package that the archive has."""
    deb = archive / "debs" / f"{row['sha256']}.deb"
    if "source" not in row:
        expected = "one of Debian's packages: of these alone files are compared; or leave --archive out"
        raise SpecError((Fault("PACKAGE", expected, f"{row['name']}, a wheel"),))
    if not deb.is_file() or sha256_of(deb) != row["sha256"]:
        expected = f"the archive of this image, which has {row['name']}: make it anew with `vitrine image archive`"
        raise SpecError((Fault("--archive", expected, f"{archive}, without the very debs/{deb.name}"),))
    return [asdict(one) for one in compare_deb(deb, row["sha256"], contents.part("root"), contents.part("initrd"))]


def _counted(manifest: Manifest, bill: Bill) -> str:
    wheels = f"{len(manifest.wheels)} from PyPI" if manifest.wheels else "none from PyPI"
    built = f"{len(manifest.tools)} of Debian built the image, which the manifest names as its tools"
    return f"packages {counts.of_bill(bill)}; {wheels}. {built}"


def _package(row: dict[str, Any]) -> str:
    count = row.get("files_in_root")
    left = "" if count is None else f", {count} files in the root"
    return f"{row['sha256']}  {row['name']} {row['version']} ({' '.join(row['where'])}{left})"
