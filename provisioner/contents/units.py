"""The systemd units of an image: their files, what is laid over them, and what starts them (systemd.unit(5))."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from provisioner.contents.entry import PartEntry
from provisioner.errors import NotInImageError

# In the order in which the first that has a unit's file wins.
PLACES = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_STARTERS = (".wants", ".requires")
_NOTHING = "/dev/null"


class State(StrEnum):
    """What becomes of a unit at boot."""

    STARTED = "started"
    STATIC = "static"
    MASKED = "masked"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its file, None where it is only an instance's name; the files laid over it; the units that start it."""

    name: str
    file: PartEntry | None
    over: tuple[PartEntry, ...]
    started_by: tuple[str, ...]

    @property
    def state(self) -> State:
        """What becomes of it at boot."""
        if self.file is not None and self.file.target == _NOTHING:
            return State.MASKED
        return State.STARTED if self.started_by else State.STATIC


def read_units(entries: Iterable[PartEntry]) -> tuple[Unit, ...]:
    """Find the units among the entries of a root, by name."""
    placed = {place: _below(place, entries) for place in PLACES}
    files: dict[str, PartEntry] = {}
    over: dict[str, dict[str, PartEntry]] = {}
    starters: dict[str, set[str]] = {}
    for place in reversed(PLACES):
        for folder, name, entry in placed[place]:
            if not folder and not entry.is_folder:
                files[name] = entry
            elif folder.endswith(".d") and name.endswith(".conf"):
                over.setdefault(folder.removesuffix(".d"), {})[name] = entry
            elif folder.endswith(_STARTERS) and entry.target != _NOTHING:
                starters.setdefault(name, set()).add(folder.rpartition(".")[0])
    return tuple(
        Unit(
            name,
            files.get(name) or files.get(_template(name)),
            tuple(over.get(name, {})[conf] for conf in sorted(over.get(name, {}))),
            tuple(sorted(starters.get(name, ()))),
        )
        for name in sorted({*files, *over, *starters})
    )


def find_unit(units: Iterable[Unit], name: str) -> Unit:
    """Return the unit of a name.

    Raises:
        NotInImageError: there is none.
    """
    for unit in units:
        if unit.name == name:
            return unit
    raise NotInImageError(f"the image has no unit {name}")


def _below(place: str, entries: Iterable[PartEntry]) -> list[tuple[str, str, PartEntry]]:
    found = []
    for entry in entries:
        inner = entry.path.removeprefix(f"{place}/")
        if inner != entry.path and inner.count("/") <= 1:
            folder, _, name = inner.rpartition("/")
            found.append((folder, name, entry))
    return found


def _template(name: str) -> str:
    head, at, tail = name.partition("@")
    return f"{head}@.{tail.rpartition('.')[2]}" if at else name
