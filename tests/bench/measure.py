"""How all benchmarks of verifiers measure, and the one table that they print.

The works of a case take turns, so that a busy machine burdens all of them alike. CPU time is what is compared; wall
time stands beside it. The median says what it cost in this run, the 2 % quantile what it costs undisturbed. Memory is
that of a fresh process, above the interpreter with its imports.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ROUNDS = 300
MEMORY_TARGET_MB = 30
WIDTH = 46
# VmHWM, because the peak of getrusage() is inherited from the process before exec; 5 sets it to what is used now.
_CHILD = """
import re, sys, tracemalloc
from client_sdk.conformance import {module}
from client_sdk.conformance.__main__ import judge
data = open(sys.argv[1], "rb").read()
used = lambda name: int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])
open("/proc/self/clear_refs", "w").write("5")
before = used("VmRSS")
if len(sys.argv) > 2:
    tracemalloc.start()
status = judge({module}.{function}, data)[0]
print(status, tracemalloc.get_traced_memory()[1] / 2**20 if len(sys.argv) > 2 else (used("VmHWM") - before) / 2**10)
"""
Works = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Case:
    """A verification beside its floor, which is the first of the works; ``targets`` are ratios to the floor."""

    title: str
    works: Works
    targets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Median and low quantile of CPU and wall time of one call, in microseconds."""

    cpu: tuple[float, float]
    wall: tuple[float, float]


def measured(works: Works, rounds: int = ROUNDS) -> dict[str, Cost]:
    """Call the works in turns, after each has run once."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: Cost(_both([t[0] for t in found]), _both([t[1] for t in found])) for name, found in times.items()}


def _both(seconds: list[float]) -> tuple[float, float]:
    return statistics.median(seconds) * 1e6, statistics.quantiles(seconds, n=50)[0] * 1e6


def show(case: Case, rounds: int = ROUNDS) -> None:
    """Measure a case and print its table."""
    found = measured(case.works, rounds)
    floor = next(iter(found.values()))
    print(f"\n{case.title}")
    print(f"  {'µs':{WIDTH}} {'CPU median':>10} {'low 2 %':>8} {'wall median':>11} {'low 2 %':>8}   ratios  target")
    for name, cost in found.items():
        ratios = f"{cost.cpu[0] / floor.cpu[0]:.2f}/{cost.cpu[1] / floor.cpu[1]:.2f}"
        target = f"{case.targets[name]:7.1f}" if name in case.targets else ""
        row = f"{cost.cpu[0]:>10.0f} {cost.cpu[1]:>8.0f} {cost.wall[0]:>11.0f} {cost.wall[1]:>8.0f}"
        print(f"  {name:{WIDTH}} {row} {ratios:>9} {target}")


def show_machine() -> None:
    """Print what else the machine does: figures of a busy one are worth less."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {load}")


def show_memory(stage: str, module: str, function: str, request: dict[str, Any]) -> None:
    """Judge a request in fresh processes and print the peaks: of the process, and of what Python allocates."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(request))
        file.flush()
        peaks = []
        for more in ((), ("traced",)):
            command = [sys.executable, "-c", _CHILD.format(module=module, function=function), file.name, *more]
            status, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            assert status == "0", f"{stage} is refused"
            peaks.append(float(peak))
    told = f"{peaks[0]:.1f} MB above the imports ({peaks[1]:.1f} MB by tracemalloc), target {MEMORY_TARGET_MB}"
    print(f"  {stage:{WIDTH}} {told}")
