"""Sockets on which every read and write gets what is left of one deadline: a peer wins no time with single bytes."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any


def left(deadline: float | None) -> float | None:
    """Return the seconds that are left of a deadline on the monotonic clock; None where there is none.

    Raises:
        TimeoutError: nothing is left.
    """
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the time limit has passed")
    return seconds


class _Deadline:
    """What both kinds have. ``deadline`` is on the monotonic clock."""

    deadline: float | None = None
    settimeout: Any

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read within the deadline."""
        self.settimeout(left(self.deadline))
        read: int = super().recv_into(*args, **kwargs)  # type: ignore[misc]  # the socket's
        return read

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """Write within the deadline."""
        self.settimeout(left(self.deadline))
        super().sendall(*args, **kwargs)  # type: ignore[misc]


class DeadlineTls(_Deadline, ssl.SSLSocket):
    """Within TLS."""


class DeadlinePlain(_Deadline, socket.socket):
    """Without."""
