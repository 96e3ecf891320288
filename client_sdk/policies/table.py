"""One table of a policy file that is being read: its faults are collected, and a key that nobody asks for is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from client_sdk.errors import EvidenceError, FieldError
from client_sdk.policies.values import Read, Value, key, spelled

MAX_TABLES, MAX_PLACE, MAX_NAME = 16, 128, 64
_OF_THE_WHOLE = frozenset({"name", "tee", "unsafe_unpinned", "version"})
NOTHING: Mapping[str, tuple[str, str]] = {}
Made = TypeVar("Made")


class Table:
    """The keys of one table. ``where`` is its place in the file; ``known`` are the keys that were asked for."""

    def __init__(self, fields: Mapping[str, Any], where: str, faults: list[FieldError]) -> None:
        self._fields, self._where, self._faults = fields, where, faults
        self.known: set[str] = set()

    def get(self, name: str, read: Read[Value], default: Value) -> Value:
        """Return a field, or the default where it is missing or wrong; a wrong one is a fault."""
        self.known.add(name)
        if name not in self._fields:
            return default
        try:
            return read(self._fields[name], self._place(name))
        except FieldError as error:
            self._faults.append(error)
            return default

    def need(self, name: str, read: Read[Value], default: Value, remedy: str) -> Value:
        """Return a field that has to be there; ``remedy`` says what to write where it is not."""
        if name not in self._fields:
            self._faults.append(FieldError(self._place(name), f"the key {name}, which is needed", "nothing", remedy))
        return self.get(name, read, default)

    def has(self, name: str) -> object:
        """Tell whether a key is there."""
        self.known.add(name)
        return name in self._fields

    def table(self, name: str) -> Table:
        """Return a table inside; a missing one is empty."""
        empty: dict[str, Any] = {}
        return Table(self.get(name, _mapping, empty), self._place(name), self._faults)

    def tables(self, name: str) -> tuple[Table, ...]:
        """Return a list of tables."""
        none: tuple[dict[str, Any], ...] = ()
        found = self.get(name, _mappings, none)
        return tuple([Table(value, f"{self._place(name)}[{i}]", self._faults) for i, value in enumerate(found)])

    def made(self, make: Callable[[], Made], default: Made) -> Made:
        """Return what the values of this table make, or the default where they do not fit together: that is a fault."""
        try:
            return make()
        except EvidenceError as error:
            place = self._place(error.where.rpartition(".")[2])
            remedy = "correct this value, or leave the key out"
            expected, got = error.expected or str(error).removeprefix(f"{error.where}: "), error.got or "another value"
            self._faults.append(FieldError(place, expected, got, error.remedy or remedy))
            return default

    def done(self, others: Mapping[str, tuple[str, str]] = NOTHING) -> None:
        """Report the keys that nobody asked for; ``others`` says of some what they are, and what to do."""
        for name in sorted(self._fields.keys() - self.known):
            got, remedy = others.get(name) or ("an unknown key", self._remedy(name))
            expected = f"no other keys here than {', '.join(sorted(self.known))}"
            self._faults.append(FieldError(self._place(name)[:MAX_PLACE], expected, got, remedy))

    def _place(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _remedy(self, name: str) -> str:
        if self._where and name in _OF_THE_WHOLE:
            return f"write {name} = … above the first [table], or in its [[any_of]]: it is about the whole policy"
        near = get_close_matches(name[:MAX_NAME], sorted(self.known), n=1)
        return f"write {near[0]} if that is meant, else remove it" if near else "remove it, or move it to its table"


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        form = f"{key(where)} = {{ … }}" if "[" in where else f"[{where}], and its keys on the lines below"
        raise FieldError(where, "a table", spelled(value), f"write {form}")
    return value


def _mappings(value: Any, where: str) -> tuple[dict[str, Any], ...]:
    remedy = f"write each as [[{where}]] with its keys on the lines below, or leave the key out"
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TABLES:
        raise FieldError(where, f"a list of 1 to {MAX_TABLES} tables", spelled(value), remedy)
    return tuple([_mapping(item, f"{where}[{i}]") for i, item in enumerate(value)])
