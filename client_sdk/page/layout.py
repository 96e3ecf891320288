"""Where the boxes of the picture stand, and how a line runs between two of them: numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEIGHT = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A box: its corner and its size."""

    x: float
    y: float
    width: float
    height: float = HEIGHT


@dataclass(frozen=True, slots=True)
class Layout:
    """A size, and a place for every node."""

    name: str
    width: int
    height: int
    places: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class Route:
    """A line as SVG has it: its path, the heads at its end and its start, and where badge and word stand.

    ``anchor`` aligns the word.
    """

    path: str
    head: str
    tail: str
    badge: tuple[float, float]
    word: tuple[float, float]
    anchor: str


def route(start: Place, end: Place) -> Route:
    """Run straight from one box to the other: sideways where they stand side by side, else up or down."""
    top, bottom = max(start.y, end.y), min(start.y + start.height, end.y + end.height)
    if top < bottom:
        y = (top + bottom) / 2
        leftwards = end.x < start.x
        x1 = start.x if leftwards else start.x + start.width
        x2 = end.x + end.width if leftwards else end.x
        step = 7 if leftwards else -7
        head = f"M{x2 + step:g} {y - 5:g} {x2:g} {y:g} {x2 + step:g} {y + 5:g}"
        tail = f"M{x1 - step:g} {y - 5:g} {x1:g} {y:g} {x1 - step:g} {y + 5:g}"
        middle = (x1 + x2) / 2
        return Route(f"M{x1:g} {y:g}H{x2:g}", head, tail, (middle, y), (middle, y - 17), "middle")
    left, right = max(start.x, end.x), min(start.x + start.width, end.x + end.width)
    x = (left + right) / 2
    upwards = end.y < start.y
    y1 = start.y if upwards else start.y + start.height
    y2 = end.y + end.height if upwards else end.y
    step = 7 if upwards else -7
    head = f"M{x - 5:g} {y2 + step:g} {x:g} {y2:g} {x + 5:g} {y2 + step:g}"
    tail = f"M{x - 5:g} {y1 - step:g} {x:g} {y1:g} {x + 5:g} {y1 - step:g}"
    middle = (y1 + y2) / 2
    return Route(f"M{x:g} {y1:g}V{y2:g}", head, tail, (x, middle), (x + 18, middle + 4), "start")


_W, _COLUMN, _ROW = 166.0, 232.0, 112.0


def _at(column: int, row: int, rows: int = 1) -> Place:
    return Place(4 + column * _COLUMN, 4 + row * _ROW, _W, HEIGHT + (rows - 1) * _ROW)


WIDE = Layout(
    "wide",
    1102,
    4 + 5 * 112 + HEIGHT + 4,
    {
        "logs": _at(0, 0),
        "pcrs": _at(1, 0),
        "predicted": _at(2, 0),
        "release": _at(3, 0),
        "publisher": _at(4, 0),
        "tls": _at(0, 1, rows=4),
        "quote": _at(1, 1),
        "ak": _at(2, 1),
        "certificate": _at(3, 1),
        "tpm-root": _at(4, 1),
        "tee": _at(1, 2),
        "tee-certificate": _at(3, 2),
        "tee-root": _at(4, 2),
        "tee-values": _at(1, 3),
        "policy": _at(2, 3),
        "gpu": _at(1, 4),
        "gpu-certificate": _at(3, 4),
        "gpu-root": _at(4, 4),
        "gpu-values": _at(1, 5),
        "gpu-policy": _at(2, 5),
        "you": _at(0, 5),
    },
)

_NARROW_COLUMN = 202.0


def _stacked(column: int, row: int, rows: int = 1) -> Place:
    return Place(4 + column * _NARROW_COLUMN, 4 + row * _ROW, 150, HEIGHT + (rows - 1) * _ROW)


NARROW = Layout(
    "narrow",
    360,
    4 + 17 * 112 + HEIGHT + 4,
    {
        "publisher": _stacked(0, 0),
        "release": _stacked(0, 1),
        "predicted": _stacked(0, 2),
        "pcrs": _stacked(0, 3),
        "logs": _stacked(1, 3),
        "quote": _stacked(0, 4),
        "tls": _stacked(1, 4, rows=13),
        "ak": _stacked(0, 5),
        "certificate": _stacked(0, 6),
        "tpm-root": _stacked(0, 7),
        "policy": _stacked(0, 8),
        "tee-values": _stacked(0, 9),
        "tee": _stacked(0, 10),
        "tee-certificate": _stacked(0, 11),
        "tee-root": _stacked(0, 12),
        "gpu-policy": _stacked(0, 13),
        "gpu-values": _stacked(0, 14),
        "gpu": _stacked(0, 15),
        "gpu-certificate": _stacked(0, 16),
        "gpu-root": _stacked(0, 17),
        "you": _stacked(1, 17),
    },
)
