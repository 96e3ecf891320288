"""systemd's watchdog: an engine that answers nothing to anybody is ended by its unit, and started anew.

What computes can be stuck in one request for ever, while the process lives and still accepts connections. Only an
answer from the part that computes counts. The unit says for how long there may be none (``WatchdogSec``): longer than
an honest prompt takes on a slow machine. It does not prove that answers are right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from serving.notify import notify_alive

_TIMES = 4  # it is asked so often within the time that the unit gives it


def start_watchdog(alive: Callable[[], bool], environment: Mapping[str, str]) -> None:
    """Ask ``alive`` again and again, and tell systemd of each yes; do nothing where the unit has no watchdog."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal():
        return
    pause = int(microseconds) / 1e6 / _TIMES

    def watch() -> None:
        while True:
            if alive():
                with suppress(OSError):  # systemd is busy: the next one is in time as well
                    notify_alive(environment.get("NOTIFY_SOCKET"))
            time.sleep(pause)

    threading.Thread(target=watch, daemon=True).start()
