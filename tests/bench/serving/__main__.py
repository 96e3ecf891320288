"""``make bench-serving``: what the gateway costs, as ratios to the bare engine and to other proxies in the same run.

With ``--quick`` fewer turns: for seeing that it works. ``--engine NAME`` leaves out the other real engine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.serving.doors import Door, bare, command_line, opened
from tests.bench.serving.engines import ENGINES, cheap, serving
from tests.bench.serving.load import Load, Run, interleaved, median_p5, median_p95

STREAMS = (1, 8, 32)
PEERS = ("gateway", "plain proxy", "byte pipe", "nginx")


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engine", choices=ENGINES, action="append")
    told = parser.parse_args()
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {load}; medians, then the worst 5 of 100")
    doors_alone(rounds=3 if told.quick else 11)
    for engine in told.engine or ENGINES:
        real_engine(engine, rounds=2 if told.quick else 7)
    return 0


def doors_alone(rounds: int) -> None:
    """Measure what doors cost by themselves, with an engine that costs next to nothing."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with cheap(folder) as engine, opened(folder, engine, PEERS) as doors:
            print("\ndoors to an engine that costs next to nothing")
            show_doors(doors)
            paced = interleaved(doors, Load(streams=32, tokens=600, pause=5), rounds)
            show_cpu("CPU of the door per streamed token: 32 streams, a token every 5 ms", paced)
            burst = interleaved(doors, Load(streams=16, tokens=200, turns=4), rounds)
            show_requests("requests per second: 16 connections, 200 tokens without pauses", burst)


def real_engine(name: str, rounds: int) -> None:
    """Measure the way through gateway and TLS against the engine's own socket, with the real model."""
    with tempfile.TemporaryDirectory() as temporary, serving(name, Path(temporary)) as engine:
        (Path(temporary) / "tls").mkdir()
        with opened(Path(temporary) / "tls", engine, ("gateway", "gateway, shaped")) as doors:
            show_doors(doors)
            for streams in STREAMS:
                load = Load(streams=streams, tokens=32, model=engine.model)
                show_engine(streams, interleaved([bare(engine), *doors], load, rounds))


def show_doors(doors: list[Door]) -> None:
    for door in doors:
        print(f"  {door.name:16} {door.about}\n  {'':16} {command_line(door.pid)}")


def show_cpu(title: str, found: dict[str, list[Run]]) -> None:
    """Print CPU time per token, and the ratio to the byte pipe."""
    costs = {name: median_p95([run.cpu / run.events * 1e6 for run in runs]) for name, runs in found.items()}
    walls = {name: median_p95([run.wall for run in runs])[0] for name, runs in found.items()}
    cpus = {name: median_p95([run.cpu for run in runs])[0] for name, runs in found.items()}
    print(f"\n{title}\n  {'':12} {'µs/token':>9} {'p95':>8} {'to pipe':>8} {'CPU s':>7} {'wall s':>7}")
    for name, (median, p95) in costs.items():
        ratio = median / costs["byte pipe"][0]
        print(f"  {name:12} {median:9.1f} {p95:8.1f} {ratio:8.2f} {cpus[name]:7.2f} {walls[name]:7.2f}")
    print("  budget: gateway at most 1.6 x the byte pipe")


def show_requests(title: str, found: dict[str, list[Run]]) -> None:
    """Print requests per second, and the ratio to the plain proxy."""
    rates = {name: [len(run.first) / run.wall for run in runs] for name, runs in found.items()}
    medians = {name: median_p5(values) for name, values in rates.items()}
    print(f"\n{title}\n  {'':12} {'req/s':>9} {'p5':>8} {'to plain':>8} {'CPU ms/req':>11} {'wall s':>7}")
    for name, (median, p5) in medians.items():
        cpu = median_p95([run.cpu / len(run.first) * 1e3 for run in found[name]])[0]
        ratio, wall = median / medians["plain proxy"][0], sum(run.wall for run in found[name]) / len(found[name])
        print(f"  {name:12} {median:9.1f} {p5:8.1f} {ratio:8.2f} {cpu:11.2f} {wall:7.2f}")
    print("  budget: gateway at least 0.9 x the plain proxy")


def show_engine(streams: int, found: dict[str, list[Run]]) -> None:
    """Print throughput and time to first token, and their ratios to the bare engine of the same rounds."""
    titles = f"{'tok/s':>8} {'p5':>8} {'ratio':>6} {'TTFT ms':>9} {'p95':>9} {'ratio':>6} {'CPU s':>7} {'wall s':>7}"
    print(f"  {f'{streams} stream(s)':18} {titles}")
    base = found["bare engine"]
    for name, runs in found.items():
        rate, rate5 = median_p5([run.events / run.wall for run in runs])
        first, first95 = median_p95([value * 1e3 for run in runs for value in run.first])
        # Ratios round by round: what another program did then, both had to bear.
        rates = median_p95([(a.events / a.wall) / (b.events / b.wall) for a, b in zip(runs, base, strict=True)])[0]
        firsts = median_p95([sum(a.first) / sum(b.first) for a, b in zip(runs, base, strict=True)])[0]
        cpu, wall = sum(run.cpu for run in runs) / len(runs), sum(run.wall for run in runs) / len(runs)
        speed, wait = f"{rate:8.1f} {rate5:8.1f} {rates:6.2f}", f"{first:9.1f} {first95:9.1f} {firsts:6.2f}"
        print(f"  {name:18} {speed} {wait} {cpu:7.2f} {wall:7.2f}")
    print("  budget: throughput at least 0.97, time to first token at most 1.05 and the batching interval")


if __name__ == "__main__":
    sys.exit(main())
