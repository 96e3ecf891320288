"""Judging a regular expression by what an engine makes of it: a grammar in which repetition is written out.

What costs an engine seconds for each token, or does not end: many pieces; many that may be left out, and a group that
may match nothing and is repeated, since every way to spread a text over them is another state. It proves nothing about
an engine's reading of what is no ECMAScript.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from serving.errors import RequestError
from serving.gateway.limits import Limits

_PART = re.compile(
    r"(?P<open>\((?:\?(?::|<?[=!]|<\w+>))?)|(?P<close>\))|(?P<or>\|)|(?P<edge>\^|\$|\\[bB])"
    r"|(?P<many>[*+?]|\{(?P<least>\d*)(?P<to>,?)(?P<most>\d*)\})|\[\^?(?P<empty>\])"
    r"|\\.|\[(?:\\.|[^\]\\])*\]|.",
    re.DOTALL,
)
# A lazy quantifier's question mark is read as one of its own, as llama.cpp reads it.
_FIXED = {"*": (0, 2), "+": (1, 2), "?": (0, 1)}  # from how often to how often; twice stands for without an end


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a pattern, written out: of how many it is made, how many of them may be left out, and whether all."""

    size: int = 0
    loose: int = 0
    empty: bool = True


class _Group:
    """A group that is being read: its pieces so far, and whether an earlier branch may match nothing."""

    def __init__(self) -> None:
        self.read, self.empty = _Piece(), False
        self.last: _Piece | None = None  # what a quantifier would repeat

    def add(self, piece: _Piece) -> None:
        self._settle()
        self.last = piece

    def branch(self) -> None:
        self._settle()
        self.empty, self.read = self.empty or self.read.empty, replace(self.read, empty=True)

    def repeat(self, least: int, most: int, written: int) -> bool:
        """Repeat the last piece; return whether that may be: what is repeated must match something."""
        last = self.last or _Piece(empty=False)
        self.last = _Piece(last.size * written, last.loose * written + (least == 0), last.empty or least == 0)
        return not (last.empty and most > 1)

    def end(self) -> _Piece:
        self.branch()
        return replace(self.read, empty=self.empty)

    def _settle(self) -> None:
        if self.last is not None:
            size, loose = self.read.size + self.last.size, self.read.loose + self.last.loose
            self.read = _Piece(size, loose, self.read.empty and self.last.empty)
        self.last = None


def judge_pattern(pattern: str, name: str, limits: Limits) -> int:
    """Bound one regular expression: bytes, depth of groups, pieces; and refuse what is repeated and may be empty.

    Returns how many of its pieces may be left out: engines suffer from those of all patterns together.

    Raises:
        RequestError: a bound is passed; the message names the field, never its content.
    """
    if len(pattern.encode(errors="replace")) > limits.pattern_bytes:
        message = f"A pattern in {name} has more than {limits.pattern_bytes} bytes."
        raise RequestError("string_above_max_length", message, param=name)
    groups = [_Group()]
    for part in _PART.finditer(pattern):
        if not _read(part, groups) or len(groups) - 1 > limits.pattern_depth:
            raise too_much(name)
    read = groups[0].end()
    if len(groups) > 1 or read.size > limits.pattern_pieces:
        raise too_much(name)
    return read.loose


def _read(part: re.Match[str], groups: list[_Group]) -> bool:
    """Take one part of a pattern; return whether it may be there."""
    if part["open"]:
        groups.append(_Group())
    elif part["close"]:
        if len(groups) == 1:
            return False
        piece = groups.pop().end()
        groups[-1].add(piece)
    elif part["or"]:
        groups[-1].branch()
    elif part["many"]:
        return groups[-1].repeat(*_bounds(part))
    elif part["empty"]:  # matches nothing, or anything; to some readers it is a class that goes on
        return False
    else:
        groups[-1].add(_Piece() if part["edge"] else _Piece(1, empty=False))
    return True


def _bounds(part: re.Match[str]) -> tuple[int, int, int]:
    """Return how often at least, how often at most, and how often it is written out."""
    if part["least"] is None:
        least, most = _FIXED[part["many"][0]]
        return least, most, 1
    least = int(part["least"] or 0)
    most = int(part["most"] or max(least, 2)) if part["to"] else least
    return least, most, max(least, most, 1) if part["most"] or not part["to"] else max(least, 1)


def too_much(name: str) -> RequestError:
    """Make the refusal of a pattern that would cost too much."""
    return RequestError("invalid_value", f"A pattern in {name} is nested or repeated too much.", param=name)
