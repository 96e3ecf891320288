"""One deadline for a whole exchange: connecting to whichever address of a name answers, then each read and write.

A peer wins no time with single bytes, and a name wins none with many addresses. Looking a name up is the system's
resolver's, which has a limit of its own: it counts, and is not cut short.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

_PASSED = "the time limit has passed"


def left(deadline: float | None) -> float | None:
    """Return the seconds that are left of a deadline on the monotonic clock; None where there is none.

    Raises:
        TimeoutError: nothing is left.
    """
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(_PASSED)
    return seconds


def connected(host: str, port: int, deadline: float) -> socket.socket:
    """Connect to the first address of a name that answers.

    Each gets a fair share of what is left, so that one that is silent leaves time for those after it.

    Raises:
        OSError: none did before the deadline; what the last one said, or that the time has passed.
    """
    failed: OSError = OSError("the name has no address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for behind, (family, kind, protocol, _, address) in enumerate(found):
        share = (deadline - time.monotonic()) / (len(found) - behind)
        if share <= 0:
            raise TimeoutError(_PASSED) from failed
        try:
            raw = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine does not speak
            failed = error
            continue
        try:
            raw.settimeout(share)
            raw.connect(address)
        except OSError as error:
            raw.close()
            failed = error
        else:
            return raw
    raise failed


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
