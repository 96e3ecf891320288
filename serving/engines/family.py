"""The processes that come from this one: found, watched until the first death, ended together.

Linux alone: orphans become this process's children (PR_SET_CHILD_SUBREAPER), a pidfd tells of an end at once, and
cannot come to mean another process. When this process itself is killed, its child dies with it (PR_SET_PDEATHSIG);
grandchildren that outlive both are ended by systemd, which kills the unit's whole control group.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl


@contextmanager
def gathered() -> Iterator[None]:
    """Adopt whatever loses its parent; when the block is left, or a signal says so, kill all that is left."""
    _PRCTL(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        _kill_all()


def die_with_parent() -> None:
    """Be killed when the parent dies. To be called in a new process before it becomes another program."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def members() -> tuple[int, ...]:
    """Return every living process that comes from this one."""
    found: list[int] = []
    level = _children(os.getpid())
    while level:
        found += level
        level = [child for parent in level for child in _children(parent)]
    return tuple(sorted(found))


def wait_for_a_death(pids: tuple[int, ...]) -> None:
    """Return when one of them has ended, at once if one has already."""
    waiting = select.poll()
    for pid in pids:
        try:
            waiting.register(os.pidfd_open(pid), select.POLLIN)
        except ProcessLookupError:
            return
    waiting.poll()


def _leave(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)


def _kill_all() -> None:
    """Kill until nobody is left: one that was just being born shows up in the next round."""
    while pids := members():
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children(pid: int) -> list[int]:
    """Read proc_pid_task_children(5): each thread has children of its own."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found
