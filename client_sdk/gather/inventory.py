"""What is in a collateral folder: each file in words, and until when it is good by what it says itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from client_sdk.errors import EvidenceError
from client_sdk.fields import format_instant
from client_sdk.gather.contents import Contents, read
from client_sdk.gather.folder import Row, read_file, read_index, strangers

GOOD, EXPIRED, EARLY = "good", "expired", "not yet good"


@dataclass(frozen=True, slots=True)
class Item:
    """One file of the index; ``contents`` is None where ``problem`` says what is wrong with it."""

    row: Row
    contents: Contents | None
    problem: str

    def state(self, now: datetime) -> str:
        """Say whether it can be used at an instant."""
        if self.contents is None:
            return self.problem
        if now >= self.contents.until:
            return EXPIRED
        return EARLY if now < self.contents.since else GOOD


@dataclass(frozen=True, slots=True)
class Inventory:
    """A folder: its files, and what is in it without being in its index."""

    gathered_at: datetime
    items: tuple[Item, ...]
    strangers: tuple[str, ...]

    @property
    def until(self) -> datetime | None:
        """Until when all of it is good."""
        return min((item.contents.until for item in self.items if item.contents), default=None)

    def problems(self, now: datetime) -> tuple[str, ...]:
        """Say what is wrong with the folder at an instant; nothing where it can be used."""
        found = [f"{item.row.path}: {state}" for item in self.items if (state := item.state(now)) != GOOD]
        return (*found, *(f"{path}: not in the index" for path in self.strangers))

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """Return the inventory as plain values for JSON."""
        return {
            "version": 1,
            "gathered_at": format_instant(self.gathered_at),
            "good_until": format_instant(self.until) if self.until else None,
            "problems": list(self.problems(now)),
            "files": [_as_dict(item, now) for item in self.items],
        }


def inventory(folder: Path) -> Inventory:
    """Read a folder; a file in it that is broken is an item, no error.

    Raises:
        EvidenceError: it has no index that can be read.
        OSError: it cannot be read.
    """
    index = read_index(folder)
    return Inventory(index.gathered_at, tuple(_item(folder, row) for row in index.rows), strangers(folder, index))


def _item(folder: Path, row: Row) -> Item:
    try:
        return Item(row, read(row.path, read_file(folder, row)), "")
    except EvidenceError as error:
        return Item(row, None, str(error).removeprefix(f"{row.path}: "))
    except OSError as error:
        return Item(row, None, f"cannot be read: {error.strerror}")


def _as_dict(item: Item, now: datetime) -> dict[str, Any]:
    contents = item.contents
    return {
        "path": item.row.path,
        "sha256": item.row.digest.hex(),
        "source": item.row.source,
        "what": contents.what if contents else "",
        "since": format_instant(contents.since) if contents else None,
        "until": format_instant(contents.until) if contents else None,
        "state": item.state(now),
    }
