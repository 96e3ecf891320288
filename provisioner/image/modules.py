"""Which kernel modules the initrd carries, in the order in which they can be loaded."""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from provisioner.errors import BakeError
from provisioner.image.packages import data_file

_SUFFIX = ".ko.xz"


@dataclass(frozen=True, slots=True)
class Module:
    """A module's file name without compression, and its bytes (the signature is their end)."""

    filename: str
    data: bytes


def wanted_modules() -> tuple[str, ...]:
    """Return the names of the modules that the initrd must have, by itself or built into the kernel."""
    return tuple(json.loads(data_file("modules.json")))


def initrd_modules(tree: Path, release: str) -> tuple[Module, ...]:
    """Read the wanted modules and what they need out of a tree.

    Raises:
        BakeError: the kernel has a wanted module neither as a file nor built in.
    """
    folder = tree / "usr/lib/modules" / release
    needs = parse_dependencies((folder / "modules.dep").read_text())
    builtin = {_name(line) for line in (folder / "modules.builtin").read_text().split()}
    return tuple(_read(folder / path) for path in load_order(wanted_modules(), needs, builtin))


def parse_dependencies(text: str) -> dict[str, tuple[str, ...]]:
    """Read modules.dep: every module's path, then the paths that it needs, nearest first."""
    needs = {}
    for line in text.splitlines():
        path, _, rest = line.partition(":")
        needs[path] = tuple(rest.split())
    return needs


def load_order(wanted: tuple[str, ...], needs: dict[str, tuple[str, ...]], builtin: set[str]) -> tuple[str, ...]:
    """Order the wanted modules and their needs so that each comes after what it needs.

    Raises:
        BakeError: the kernel does not have one; it names the module.
    """
    paths = {_name(path): path for path in needs}
    order: dict[str, None] = {}
    for name in map(_plain, wanted):
        if name in builtin:
            continue
        if name not in paths:
            raise BakeError(f"the kernel has no module {name}; the initrd cannot do without it")
        for path in (*reversed(needs[paths[name]]), paths[name]):
            order.setdefault(path)
    return tuple(order)


def _read(path: Path) -> Module:
    if not path.name.endswith(_SUFFIX):
        raise BakeError(f"{path.name}: expected a module compressed with xz")
    # Unpacked here, and packed once more with all the rest: smaller, and the kernel need not decompress twice.
    return Module(path.name.removesuffix(".xz"), lzma.decompress(path.read_bytes()))


def _name(path: str) -> str:
    return _plain(PurePosixPath(path).name.partition(".")[0])


def _plain(name: str) -> str:
    return name.replace("-", "_")
