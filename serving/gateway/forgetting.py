"""Having malloc overwrite what is freed, and not touch what is handed out where that is much and hardly used.

glibc knows one setting for both (M_PERTURB of mallopt(3)). It does nothing for chunks in the caches of threads, nor for
Python's own allocator: the unit turns both off. What a name or a list still refers to, is not freed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

_M_PERTURB = -6
_mallopt = ctypes.CDLL(None).mallopt
_BYTE = 0xA5


def overwrite_what_is_freed() -> None:
    """Begin with it."""
    _perturb(_BYTE)


@contextmanager
def untouched() -> Iterator[None]:
    """Hand out memory as it comes, so that pages nobody writes to take none; afterwards overwrite what is freed."""
    _perturb(0)
    try:
        yield
    finally:
        _perturb(_BYTE)


class BeginsUntouched(Coroutine[Any, Any, None]):
    """A coroutine whose first step, and no other, gets memory as it comes."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine, self._begun = coroutine, False

    def send(self, value: Any) -> Any:
        """Go on."""
        if self._begun:
            return self._coroutine.send(value)
        self._begun = True
        with untouched():
            return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an exception."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise NotImplementedError("it is for a task of its own")


def _perturb(byte: int) -> None:
    _mallopt(_M_PERTURB, byte)
