"""What one key of a policy file holds. Each function reads one kind of value, or says what to write in place of it.

Nothing here knows which table a key is in, or which rule a fault breaks: that is ``file.py``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from client_sdk.clauses.expected import AnyValue, OneOf, Setting, Stated
from client_sdk.clauses.nvidia import MODES, Count
from client_sdk.clauses.tdx import GRACED
from client_sdk.encoding import from_hex
from client_sdk.errors import EvidenceError, FieldError
from client_sdk.evidence import MAX_GPUS
from client_sdk.fields import MAX_TEXT, instant, integer, items, text
from client_sdk.parse.snp import FirmwareVersion
from client_sdk.policies.cloud import no_zone
from client_sdk.policies.tee import MIN_FIRMWARE, TEES, CloudVouchedBoot
from client_sdk.policies.unsafe import UnsafeUnpinned, UnsafeWithoutRevocation

MAX_LIST, MAX_SHOWN, MAX_DAYS = 1024, 64, 3650
_OR_NOT = "or leave the key out"
_OWN_FLOOR = f"{_OR_NOT}: a file raises the client's own floor, and never lowers it"
Value = TypeVar("Value")
Read = Callable[[Any, str], Value]


def spelled(value: Any) -> str:
    """Spell a value of TOML for people, cut to a length that fits a line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= MAX_SHOWN else f'"{value[:MAX_SHOWN]}…" ({len(value)} characters)'
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN * 3:  # Python spells no number of any length
        return f"a number of {value.bit_length()} bits"
    return str(value) if isinstance(value, (int, float)) else f"{value}, without quotation marks"


def key(where: str) -> str:
    """Return the key that a place in the file is about."""
    return where.rpartition(".")[2].partition("[")[0]


def number(low: int = 0, high: int = 2**63 - 1, remedy: str = f"write such a number, {_OR_NOT}") -> Read[int]:
    """Read a whole number in a range."""

    def read(value: Any, where: str) -> int:
        with _told(where, value, f"a whole number from {low} to {high}", remedy):
            return integer(value, where, low=low, high=high)

    return read


def raised(floor: int, most: int = 255) -> Read[int]:
    """Read a floor: a file raises the client's own and never lowers it, for that would need a reason."""
    return number(floor, most, f"write {floor} or higher, {_OWN_FLOOR}")


def words(limit: int, remedy: str) -> Read[str]:
    """Read a text of printable characters."""

    def read(value: Any, where: str) -> str:
        with _told(where, value, f"a printable text of at most {limit} characters, in quotation marks", remedy):
            return text(value, where, limit=limit)

    return read


def texts(value: Any, where: str) -> tuple[str, ...]:
    """Read texts: one, or a list of them."""
    found = _filled([value] if isinstance(value, str) else value, where)
    one = words(256, f'write {key(where)} = ["…"]')
    return tuple([one(item, f"{where}[{i}]") for i, item in enumerate(found)])


def lower(value: Any, where: str) -> tuple[str, ...]:
    """Read texts in which capital letters are small ones."""
    return tuple([one.lower() for one in texts(value, where)])


def numbers(value: Any, where: str) -> tuple[int, ...]:
    """Read numbers of 64 bits: one, or a list of them."""
    found = _filled([value] if isinstance(value, int) else value, where)
    one = number(0, 2**64 - 1, "write such a number, without quotation marks")
    return tuple([one(item, f"{where}[{i}]") for i, item in enumerate(found)])


def projects(value: Any, where: str) -> tuple[str | int, ...]:
    """Read projects by id or number: one, or a list of them."""
    found = _filled(value if isinstance(value, list) else [value], where)
    return tuple([_project(item, f"{where}[{i}]") for i, item in enumerate(found)])


def any_or(read: Read[tuple[Value, ...]]) -> Read[tuple[Value, ...] | AnyValue]:
    """Read a list that has to be there, or ``{ any = "the reason" }``."""

    def found(value: Any, where: str) -> tuple[Value, ...] | AnyValue:
        if value == []:
            raise FieldError(where, "at least one value", spelled(value), f"list at least one, or {_any_form(where)}")
        return _anything(value, where) if isinstance(value, dict) else read(value, where)

    return found


def hexes(*sizes: int) -> Read[tuple[bytes, ...]]:
    """Read a list of bytes of one of these sizes: an id of another size names nothing, and so denies nothing."""
    lengths, digits = (" or ".join([str(size * times) for size in sizes]) for times in (1, 2))
    expected = f"{lengths} bytes in lower-case hex, which are {digits} digits"

    def one(value: Any, where: str) -> bytes:
        remedy = "write each in quotation marks, in full and as a report prints it"
        with _told(where, value, expected, remedy):
            data = from_hex(value, where)
        if len(data) not in sizes:
            raise FieldError(where, expected, f"{len(data)} bytes", remedy)
        return data

    return lambda value, where: tuple([one(item, f"{where}[{i}]") for i, item in enumerate(_filled(value, where))])


def flag(value: Any, where: str) -> Stated:
    """Read true or false."""
    if not isinstance(value, bool):
        remedy = f"write {key(where)} = true or {key(where)} = false, without quotation marks"
        raise FieldError(where, "true or false", spelled(value), remedy)
    return OneOf((value,))


def setting(value: Any, where: str) -> Setting:
    """Read what a bit has to be."""
    if value not in [one.value for one in Setting]:
        remedy = f'write one of the three in quotation marks, as {key(where)} = "{Setting.EITHER.value}"'
        raise FieldError(where, "required, forbidden or either", spelled(value), remedy)
    return Setting(value)


def firmware(value: Any, where: str) -> FirmwareVersion:
    """Read the version of a firmware, not below the client's floor."""
    floor = ".".join(map(str, MIN_FIRMWARE))
    remedy = f'write {key(where)} = "{floor}" or a higher version, {_OWN_FLOOR}'
    parts = value.split(".") if isinstance(value, str) and len(value) <= len("255.255.255") else []
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and int(part) <= 255 for part in parts):
        raise FieldError(where, "three numbers from 0 to 255 with dots between", spelled(value), remedy)
    version = FirmwareVersion(*map(int, parts))
    if version < MIN_FIRMWARE:
        raise FieldError(where, f"{floor} or a higher version", spelled(value), remedy)
    return version


def count(value: Any, where: str) -> int | Count:
    """Read how many GPUs there have to be: a number or a range."""
    form = f"{key(where)} = 1, or {key(where)} = {{ fewest = 1, most = {MAX_GPUS} }}"
    at_most = number(0, MAX_GPUS, f"write {form}")
    if not isinstance(value, dict):
        return at_most(value, where)
    if value.keys() != {"fewest", "most"}:
        raise FieldError(where, "the keys fewest and most", _keys(value), f"write {form}")
    fewest = at_most(value["fewest"], f"{where}.fewest")
    return Count(fewest, number(fewest, MAX_GPUS, "write no less than fewest")(value["most"], f"{where}.most"))


def zones(value: Any, where: str) -> tuple[str, ...]:
    """Read zones of Google's: a region is none, and neither is a word for all of them."""
    found = texts(value, where)
    for name in found:
        if wrong := no_zone(name):
            raise FieldError(where, "zones", spelled(name), f"{wrong}; list zones, or {_any_form(where)}")
    return found


def tees(value: Any, where: str) -> frozenset[str]:
    """Read which kinds of CPU TEE are taken."""
    known, found = sorted(TEES.values()), texts(value, where)
    if unknown := [one for one in found if one not in known]:
        remedy = f'write {key(where)} = ["tdx"], or leave the key out to take both'
        raise FieldError(where, f"one or both of {', '.join(known)}", spelled(unknown[0]), remedy)
    return frozenset(found)


def modes(value: Any, where: str) -> frozenset[str]:
    """Read in which modes GPUs may be."""
    known, found = ", ".join(MODES.values()), texts(value, where)
    if unknown := [one for one in found if one not in MODES.values()]:
        raise FieldError(where, f"one or more of {known}", spelled(unknown[0]), f"choose from these, {_OR_NOT}")
    return frozenset(found)


def days(value: Any, where: str) -> timedelta:
    """Read an age."""
    return timedelta(days=number(1, MAX_DAYS)(value, where))


def status(value: Any, where: str) -> str:
    """Read a status of Intel's for which there can be a grace."""
    if not isinstance(value, str) or value not in GRACED:
        remedy = "choose one of these, or remove this grace: a revoked platform has none"
        raise FieldError(where, f"one of {', '.join(sorted(GRACED))}", spelled(value), remedy)
    return value


def until(value: Any, where: str) -> datetime:
    """Read an instant."""
    remedy = f'write {key(where)} = "2026-01-31T12:00:00Z", in quotation marks'
    with _told(where, value, "an instant in UTC as a text", remedy):
        return instant(value, where)


def vouched(value: Any, where: str) -> CloudVouchedBoot:
    """Read why the cloud's word for the image is enough."""
    return CloudVouchedBoot(_reason(value, where, f", {_OR_NOT}"))


def without_revocation(value: Any, where: str) -> UnsafeWithoutRevocation:
    """Read why nobody has to ask about revocation."""
    return UnsafeWithoutRevocation(_reason(value, where, f", {_OR_NOT}"))


def unpinned(value: Any, where: str) -> UnsafeUnpinned:
    """Read why a release may leave something open."""
    return UnsafeUnpinned(_reason(value, where, f", {_OR_NOT}"))


@contextmanager
def _told(where: str, value: Any, expected: str, remedy: str) -> Iterator[None]:
    """Say what was expected and what to write, where the reader of a format refuses the value."""
    try:
        yield
    except EvidenceError as error:
        raise FieldError(where, expected, spelled(value), remedy) from error


def _project(value: Any, where: str) -> str | int:
    remedy = f'write {key(where)} = "the-id", or its number without quotation marks, or {_any_form(where)}'
    with _told(where, value, "a project's id of at most 256 printable characters, or its number", remedy):
        return text(value, where, limit=256) if isinstance(value, str) else integer(value, where, high=2**64 - 1)


def _anything(value: dict[str, Any], where: str) -> AnyValue:
    """Read ``{ any = "the reason" }``."""
    if value.keys() != {"any"}:
        raise FieldError(where, 'values, or { any = "the reason" }', _keys(value), _any_form(where))
    return AnyValue(_reason(value["any"], f"{where}.any", ", or list values"))


def _any_form(where: str) -> str:
    return f'write {key(where)} = {{ any = "the reason" }} where any will do'


def _keys(value: dict[str, Any]) -> str:
    return f"a table with {', '.join([spelled(name) for name in sorted(value)[:3]])}" if value else "an empty table"


def _reason(value: Any, where: str, otherwise: str) -> str:
    """Read a reason, which is not blank."""
    remedy = f'write {key(where)} = "the reason", which will stand in every report{otherwise}'
    if not isinstance(value, str) or not value.strip():
        raise FieldError(where, "a reason in quotation marks", spelled(value), remedy)
    return words(MAX_TEXT, remedy)(value, where)


def _filled(value: Any, where: str) -> list[Any]:
    """Read a list that has something in it."""
    if value == []:
        raise FieldError(where, "at least one value", spelled(value), f"list at least one, {_OR_NOT}")
    with _told(where, value, f"a list of at most {MAX_LIST} values", f'write {key(where)} = ["…"], {_OR_NOT}'):
        return items(value, where, limit=MAX_LIST)
