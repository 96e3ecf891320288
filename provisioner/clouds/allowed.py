"""An allow-list of a cloud's answer: what it may hold, field by field. Whatever else is there was not planned.

That something is listed does not say that it is right: a shape names a value where only that one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Leaf = Callable[[object], bool]
Shape = Leaf | Mapping[str, "Shape"] | list["Shape"]
_SHOWN = 80


def anything(_: object) -> bool:
    """Take whatever the cloud says of itself, and what another check looks at."""
    return True


@dataclass(frozen=True, slots=True)
class OneOf:
    """Takes one of these values; names and ids are the same in any case of their letters."""

    values: tuple[object, ...]

    def __call__(self, value: object) -> bool:
        """Say whether it is one of them."""
        return _folded(value) in [_folded(one) for one in self.values]


def one_of(*values: object) -> OneOf:
    """Take these values alone."""
    return OneOf(values)


def beyond(body: object, shape: Shape, where: str = "") -> Iterator[str]:
    """Yield where a body has what its shape does not, and what that is. Fields that are empty or off are no matter."""
    if is_nothing(body):
        return
    if isinstance(shape, Mapping) and isinstance(body, Mapping):
        for name, inner in body.items():
            path = f"{where}.{name}".lstrip(".")
            yield from beyond(inner, shape.get(str(name), _nothing), path)
    elif isinstance(shape, list) and isinstance(body, list | tuple):
        for inner in body:
            yield from beyond(inner, shape[0], where)
    elif isinstance(shape, Mapping | list) or not shape(body):
        yield f"{where} ({str(body)[:_SHOWN]})"


def is_nothing(value: object) -> bool:
    """Say whether a value says that something is not there, or is off."""
    if isinstance(value, Mapping):
        return all(map(is_nothing, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_nothing, value))
    return value is None or value is False or value in ("", "None")


def _nothing(_: object) -> bool:
    return False


def _folded(value: object) -> object:
    return value.lower() if isinstance(value, str) else value
