"""The processor time of another process, finely enough for runs of a second."""

from __future__ import annotations

from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Return the time on a CPU of all threads that a process has now, in seconds.

    In nanoseconds from proc(5), schedstat: the ticks of ``stat`` are a hundredth of a second. A thread that ended takes
    its time with it; those of the programs that are compared live as long as they do.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
