"""The edge between what a cloud answers and our code: an answer that is not as it should be is one typed error.

Beyond it, code reads bodies as the vendor's documentation has them, and asks no field whether it is there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from provisioner.errors import CloudError

# What reading a body raises that has other fields, other types, other text, or no end.
ODD: tuple[type[Exception], ...] = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_PAGES = 1000  # more than anything of ours has
_SHOWN = 200
_Page = TypeVar("_Page")


class MisreadError(CloudError):
    """An answer is not understood: not refused, so that whoever asks for several things goes on with the others."""


@contextlib.contextmanager
def understood(what: str, *more: type[Exception]) -> Iterator[None]:
    """Turn what an odd answer raises into one error that says which; ``more`` is what a library raises of its own.

    Raises:
        MisreadError: the answer is not understood.
    """
    try:
        yield
    except ODD + more as error:
        raise misread(what, error) from error


@contextlib.contextmanager
def set_aside(odd: list[str]) -> Iterator[None]:
    """Note what is not understood while this is done, and go on; the caller raises it in the end."""
    try:
        yield
    except MisreadError as error:
        odd.append(str(error))


def bounded(what: str, pages: Iterable[_Page], token: Callable[[_Page], object], seconds: float) -> Iterator[_Page]:
    """Yield the pages of a list while each leads to another one; ``token`` says to which.

    Raises:
        MisreadError: they do not end.
    """
    deadline = time.monotonic() + seconds
    seen: set[object] = set()
    for number, page in enumerate(pages, 1):
        following = token(page)
        if following and (number == _PAGES or following in seen or time.monotonic() > deadline):
            raise misread(what, "the pages of a list do not end")
        seen.add(following)
        yield page


def misread(what: str, error: object) -> MisreadError:
    """Say that the answer to a call is not understood."""
    told = f"{type(error).__name__} {error}" if isinstance(error, Exception) else str(error)
    shown = " ".join(told.split())[:_SHOWN]
    return MisreadError(f"{what}: an answer that is not understood ({shown}); run it again, and report it if it stays")
