"""Having malloc overwrite what is freed, and not touch what is handed out where that is much and hardly used.

This is for glibc alone, which knows one setting for both (M_PERTURB of mallopt(3)). It does nothing for chunks in the
caches of threads, nor for Python's own allocator: the unit turns both off. What a name or a list still refers to, is
not freed.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

_M_PERTURB = -6
_BYTE = 0xA5
_BUFFER = 256 * 1024  # uvloop's for a connection
# Without the unit's setting, malloc maps nothing any more that is as large as what was once given back.
_MOST_HOLES = 64
_IS_MMAPPED = 2  # of the word before a piece of memory: it has a mapping of its own (glibc, malloc/malloc.c)
_C = ctypes.CDLL(None)
_C.malloc.argtypes, _C.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
_C.free.argtypes, _C.free.restype = (ctypes.c_void_p,), None


def overwrite_what_is_freed() -> None:
    """Begin with it."""
    _perturb(_BYTE)


@contextmanager
def untouched() -> Iterator[None]:
    """Hand out memory as it comes, so that pages nobody writes to take none; afterwards overwrite what is freed.

    Where the heap has a hole that is large enough, malloc maps nothing and takes that. Its pages are there already, and
    the heap, which lacks the hole then, grows: by up to a buffer a connection. So all such holes are taken meanwhile.
    """
    holes: list[int] = []
    collects = gc.isenabled()
    gc.disable()  # what it frees now would not be overwritten
    try:
        _perturb(0)
        _take_holes(holes)
        yield
    finally:
        for hole in holes:
            _C.free(hole)
        _perturb(_BYTE)
        if collects:
            gc.enable()


def _take_holes(holes: list[int]) -> None:
    """Take memory of a buffer's size until it comes as a mapping of its own; add what came from the heap."""
    while len(holes) < _MOST_HOLES and (at := _C.malloc(_BUFFER)):
        if ctypes.c_size_t.from_address(at - ctypes.sizeof(ctypes.c_size_t)).value & _IS_MMAPPED:
            _C.free(at)
            return
        holes.append(at)


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
    _C.mallopt(_M_PERTURB, byte)
