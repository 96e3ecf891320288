"""Finding out what a bake's image is made of, for its bill of materials: from the lock, the trees and the wheels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image.initrd import tool_files
from provisioner.image.packages import Package
from provisioner.image.records import Source, installed_sources, licences, packed_source, wheel_licences
from provisioner.image.rootfs import ENGINE_SITE, Rootfs
from provisioner.image.sbom import Deb, Pypi
from provisioner.image.uki import STUB
from provisioner.image.vllm_wheels import Pin
from provisioner.image.wheels import Wheel

# In Debian these are links into /usr.
_MERGED = ("/bin/", "/sbin/", "/lib/", "/lib64/")
_SITE = "usr/lib/python3/dist-packages"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where packages' parts are in the image, and the tree that knows their sources and licences."""

    name: str
    tree: Path
    packages: tuple[Package, ...]


def find_debs(rootfs: Rootfs, cache: Path) -> tuple[Deb, ...]:
    """Return every package of which something is in the image, each once, with all its places.

    Raises:
        BakeError: what a tree is made of cannot be read.
    """
    lock, tools, image = rootfs.lock, rootfs.tools.tree, rootfs.base.tree
    initrd = owners(tools, tool_files(tools))
    stub = owners(tools, (STUB,))
    places = [
        _Place("root", image, lock.image.packages),
        _Place("initrd", tools, tuple(p for p in lock.tools.packages if p.name in initrd)),
        _Place("stub", tools, tuple(p for p in lock.tools.packages if p.name in stub)),
    ]
    if rootfs.gpus:
        unpacked = tuple(p for p in lock.driver.packages if p.name in lock.driver.unpacked)
        places.append(_Place("driver", rootfs.tree, unpacked))
    return tuple(_counted(deb, image, rootfs.tree) for deb in _merged(places, cache))


def find_wheels(tree: Path, wheels: tuple[Wheel, ...], pins: tuple[Pin, ...]) -> tuple[Pypi, ...]:
    """Return every wheel that is unpacked in the image."""
    own = [(w.name, w.version, w.sha256, _SITE) for w in wheels if w.use == "image"]
    theirs = [(pin.name, pin.version, pin.sha256, ENGINE_SITE) for pin in pins]
    return tuple(Pypi(n, v, digest, wheel_licences(tree / site, n, v)) for n, v, digest, site in (*own, *theirs))


def distribution(tree: Path) -> str:
    """Return what the tree is, as package addresses name it, such as debian-13.

    Raises:
        BakeError: it does not say.
    """
    lines = (line.partition("=") for line in (tree / "usr/lib/os-release").read_text().splitlines())
    told = {name: value.strip('"') for name, _, value in lines}
    if not told.get("ID") or not told.get("VERSION_ID"):
        raise BakeError(f"{tree} does not say which system it is")
    return f"{told['ID']}-{told['VERSION_ID']}"


def owners(tree: Path, files: tuple[str, ...]) -> set[str]:
    """Return the packages that files of a tree belong to.

    Raises:
        BakeError: a file is no package's.
    """
    # dpkg knows some files by the name that they had before /bin and /lib became links.
    wanted = {_merged_name(file) for file in files}
    found: dict[str, str] = {}
    for listing in sorted((tree / "var/lib/dpkg/info").glob("*.list")):
        for line in _lines(listing):
            if (name := _merged_name(line)) in wanted:
                found[name] = listing.stem.partition(":")[0]
    if missing := wanted - set(found):
        raise BakeError(f"no package of the tools tree has {', '.join(sorted(missing))}")
    return set(found.values())


def _merged_name(name: str) -> str:
    bare = name.strip("/")
    return bare if bare.startswith("usr/") else f"usr/{bare}"


def _merged(places: list[_Place], cache: Path) -> tuple[Deb, ...]:
    found: dict[str, Deb] = {}
    for place in places:
        known = installed_sources(place.tree) if (place.tree / "var/lib/dpkg/status").is_file() else {}
        for package in place.packages:
            earlier = found.get(package.name)
            where = (*(earlier.where if earlier else ()), place.name)
            source = earlier.source if earlier else _source(package, known, cache)
            named = earlier.licences if earlier else licences(place.tree, package.name)
            found[package.name] = Deb(package, source, named, where)
    return tuple(found[name] for name in sorted(found))


def _counted(deb: Deb, base: Path, tree: Path) -> Deb:
    """Say how much of a package the roles left: a fault in a program that is gone is none of the image."""
    if "root" not in deb.where or (listed := _installed_files(base, deb.package.name)) is None:
        return deb
    left = [name for name in listed if (path := tree / name).is_symlink() or path.is_file()]
    return replace(deb, files=len(left))


def _installed_files(tree: Path, package: str) -> list[str] | None:
    for name in (package, f"{package}:amd64"):
        if (listing := tree / f"var/lib/dpkg/info/{name}.list").is_file():
            names = {_merged_name(line) if line.startswith(_MERGED) else line.strip("/") for line in _lines(listing)}
            return sorted(name for name in names if not name.startswith("usr/share/doc/"))
    return None


def _lines(listing: Path) -> list[str]:
    return listing.read_text().splitlines()


def _source(package: Package, known: dict[str, Source], cache: Path) -> Source:
    return known.get(package.name) or packed_source(package, cache / "debs" / f"{package.sha256}.deb")
