"""What a role puts into the root file system: a folder of files, as plain entries.

The Ansible action ``install_tree`` reads them here, on the controller; the module of the same name writes them,
inside the tree. One call carries a whole folder, because each Ansible task costs as much as a hundred files.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from provisioner.errors import Fault, SpecError

UNITS = PurePosixPath("/etc/systemd/system")
TEMPLATE_SUFFIX = ".j2"
# Left behind by whoever ran the code in the checkout; the image makes its own.
NEVER = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")


@dataclass(frozen=True, slots=True)
class Entry:
    """One path in the image. ``content`` is base64 for a file, the target for a link, empty for a folder."""

    path: str
    kind: Literal["file", "link", "directory"]
    mode: int
    content: str = ""


def collect(
    source: Path,
    destination: PurePosixPath,
    *,
    include: tuple[str, ...] = ("*",),
    render: Callable[[str], str] | None = None,
) -> tuple[Entry, ...]:
    """Read every file and link under ``source``, in order of path.

    Only the executable bit of a mode is kept: the caller's umask and owner must not reach the image.

    Raises:
        SpecError: the folder is missing, nothing matched, or a file is neither plain nor a link.
    """
    if not source.is_dir():
        raise SpecError((Fault("src", "a folder", str(source)),))
    found = tuple(
        _entry(path, destination / path.relative_to(source).as_posix(), render)
        for path in sorted(_walk(source))
        if _wanted(path.relative_to(source), include)
    )
    if not found:
        raise SpecError((Fault("src", f"at least one file like {', '.join(include)}", f"none under {source}"),))
    return found


def unit_links(enable: Mapping[str, str], mask: tuple[str, ...]) -> tuple[Entry, ...]:
    """Links that enable units in a target, and links that mask units for good.

    Raises:
        SpecError: a unit is both enabled and masked, or a name is no unit's name.
    """
    faults = [Fault("enable", "a unit that is not masked", unit) for unit in enable if unit in mask]
    faults += [
        Fault("unit", "a file name like x.service", name)
        for name in (*enable, *enable.values(), *mask)
        if "/" in name or "." not in name
    ]
    if faults:
        raise SpecError(tuple(faults))
    wants = tuple(
        _link(UNITS / f"{target}.wants" / unit, f"/usr/lib/systemd/system/{_file_of(unit)}")
        for unit, target in sorted(enable.items())
    )
    return wants + tuple(_link(UNITS / unit, "/dev/null") for unit in sorted(mask))


def as_arguments(entries: tuple[Entry, ...]) -> list[dict[str, str | int]]:
    """Entries in the form that the module takes."""
    return [asdict(entry) for entry in entries]


def _walk(source: Path) -> Iterator[Path]:
    for path in source.iterdir():
        if path.name in NEVER:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _wanted(relative: Path, include: tuple[str, ...]) -> bool:
    return any(fnmatchcase(relative.as_posix(), pattern) for pattern in include)


def _entry(path: Path, inner: PurePosixPath, render: Callable[[str], str] | None) -> Entry:
    if path.is_symlink():
        return _link(inner, str(path.readlink()))
    if not path.is_file():
        raise SpecError((Fault("src", "files, folders and links only", str(path)),))
    mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    content = path.read_bytes()
    if render is not None and inner.name.endswith(TEMPLATE_SUFFIX):
        inner = inner.with_name(inner.name.removesuffix(TEMPLATE_SUFFIX))
        content = render(content.decode()).encode()
    return Entry(str(inner), "file", mode, base64.b64encode(content).decode())


def _file_of(unit: str) -> str:
    """Name a unit's file: that of its template, where it is an instance."""
    name, at, instance = unit.partition("@")
    return f"{name}@.{instance.rpartition('.')[2]}" if at else unit


def _link(path: PurePosixPath, target: str) -> Entry:
    return Entry(str(path), "link", 0o777, target)
