"""Comparing named things of before with those of after: what is new, gone or changed, and how many are as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

NEW, GONE, CHANGED = "new", "gone", "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was; ``before`` is None where it is new, ``after`` where it is gone.

    ``note`` says what the values alone do not.
    """

    what: str
    before: str | None
    after: str | None
    note: str = ""

    @property
    def kind(self) -> str:
        """One of ``new``, ``gone`` and ``changed``."""
        return NEW if self.before is None else GONE if self.after is None else CHANGED


@dataclass(frozen=True, slots=True)
class Section:
    """All changes of one kind of thing; ``alike`` is how many of its things are as they were.

    ``key`` says the kind; those of roles and measurements begin with ``role/`` and ``measurement/``.
    """

    key: str
    title: str
    about: str
    changes: tuple[Change, ...]
    alike: int

    @property
    def counts(self) -> str:
        """How many changed, in words: "2 changed, 1 new"."""
        counted = Counter(change.kind for change in self.changes)
        return ", ".join(f"{counted[kind]} {kind}" for kind in (CHANGED, NEW, GONE) if counted[kind])

    @property
    def summary(self) -> str:
        """The same, and how many did not: "2 changed, 1 new, 40 as before"."""
        return f"{self.counts}, {self.alike} as before" if self.alike else self.counts


class Item(NamedTuple):
    """One thing to compare: its name in parts, its value in words, and the value itself.

    ``apart`` tells things of one name apart where they have no order: they are compared as a set.
    """

    name: tuple[str, ...]
    said: str
    value: object
    apart: str = ""


_Place = tuple[tuple[str, ...], str, int]


def compared(key: str, title: str, before: Iterable[Item], after: Iterable[Item], *, about: str) -> Section:
    """Compare things by name; what is new or changed stands in the order of the newer one."""
    old, new = _table(before), _table(after)
    pairs = [(name, old.get(name), new.get(name)) for name in dict.fromkeys([*new, *old])]
    found = tuple(_change(name, was, now) for name, was, now in pairs if not _same(was, now))
    return Section(key, title, about, found, len(pairs) - len(found))


def _table(items: Iterable[Item]) -> dict[_Place, Item]:
    """Key things by name and by how often it stood there before: a name twice hides nothing."""
    seen: Counter[tuple[tuple[str, ...], str]] = Counter()
    found = {}
    for item in items:
        key = item.name, item.apart
        seen[key] += 1
        found[*key, seen[key]] = item
    return found


def _same(before: Item | None, after: Item | None) -> object:
    return before is not None and after is not None and before.value == after.value


def _change(place: _Place, before: Item | None, after: Item | None) -> Change:
    name, _, number = place
    what = ": ".join(name) if number == 1 else f"{': '.join(name)} (number {number} of this name)"
    if before is None or after is None or before.said != after.said:
        return Change(what, before and before.said, after and after.said)
    old, new = (str(item.value) for item in (before, after))
    return Change(what, old, new, f"both say {before.said}, and they are not the same")


def plain(name: str, said: str) -> Item:
    """Return a thing whose value is what is said of it."""
    return Item((name,), said, said)


def digest(name: str, value: bytes) -> Item:
    """Return a thing that is told by a digest."""
    return plain(name, value.hex())
