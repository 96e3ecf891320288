"""What a fresh attestation costs under load, beside its peers in the same run: two tables.

(1) With a TPM whose quotes take 50 ms each: shared quotes against the same machine with one nonce in each tree.
(2) With the TPM as fast as it is: CPU of gateway and attester for an answer against a page of the same size that the
same gateway has ready. The clients, and the software that plays the TPM, are other processes, counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client_sdk.binding import MAX_TREE
from serving.gateway.limits import Limits
from tests.bench.attestation.parts import EVIDENCE, STATIC, Machine, machine

QUOTE_SECONDS = 0.05
OURS = ("gateway", "attester")
LEAST_RATE, MOST_QUOTES, MOST_CPU = 40, 20, 1.5


@dataclass(frozen=True)
class Run:
    """One run: what the clients saw, and the CPU-seconds of each process."""

    seconds: Sequence[float]
    quotes: int
    trees: Sequence[int]
    refused: int
    size: int
    wall: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall

    @property
    def each(self) -> float:
        """Our CPU for an answer, in microseconds."""
        return sum(self.cpu[name] for name in OURS) / len(self.seconds) * 1e6

    def row(self, name: str) -> str:
        """Write a line of a table."""
        cuts = statistics.quantiles(self.seconds, n=100)
        waits = "".join(f"{cuts[i] * 1e3:8.0f}" for i in (49, 94, 98))
        tree = statistics.median(self.trees) if self.trees else 0
        cpu = "".join(f"{self.cpu[part] / len(self.seconds) * 1e6:9.0f}" for part in (*OURS, "TPM"))
        return f"  {name:34}{self.rate:9.1f}{self.quotes / self.wall:9.1f}{tree:7.0f}{waits}{cpu}{self.refused:9}"


HEAD = (
    f"  {'':34}{'answers':>9}{'quotes':>9}{'tree':>7}{'ms':>8}{'':8}{'':8}{'CPU µs':>9}{'an':>9}{'answer':>9}\n"
    f"  {'':34}{'a second':>9}{'a second':>9}{'median':>7}{'median':>8}{'p95':>8}{'p99':>8}"
    f"{'gateway':>9}{'attester':>9}{'TPM':>9}{'refused':>9}"
)


def run(target: Machine, page: str, clients: int, seconds: float) -> Run:
    """Let clients ask for a page for some seconds."""
    words = [target.port, target.certificate, clients, seconds, page]
    command = [sys.executable, "-m", "tests.bench.attestation.load", *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        if load.stdout.readline() != b"ready\n":
            raise SystemExit("the clients did not get ready")
        before = target.cpu()
        load.stdin.write(b"go\n")
        load.stdin.flush()
        found = json.loads(load.stdout.readline())
        after = target.cpu()
    return Run(cpu={name: after[name] - before[name] for name in before}, **found)


def slow_tpm(folder: Path, *, clients: int, seconds: float, log_size: int) -> None:
    """Print the first table."""
    print(f"\n{clients} clients, quotes of {QUOTE_SECONDS * 1e3:.0f} ms")
    print(HEAD)
    rates, pause = {}, Limits().quote_pause_seconds
    for name, tree, rest in (("a tree for each nonce", 1, 0.0), ("shared quotes", MAX_TREE, pause)):
        options = {"log_size": log_size, "quote_seconds": QUOTE_SECONDS, "tree": tree, "pause": rest}
        with machine(folder / str(tree), **options) as target:
            found = run(target, EVIDENCE, clients, seconds)
        rates[tree] = found.rate
        print(found.row(f"{name}, {found.size / 1e3:.0f} kB"), flush=True)
    quotes = found.quotes / found.wall
    print(f"  shared: {rates[MAX_TREE] / rates[1]:.1f} x the rate (target at least {LEAST_RATE} x), ", end="")
    print(f"{quotes:.1f} quotes a second (target at most {MOST_QUOTES})", flush=True)


def fast_tpm(folder: Path, *, clients: int, seconds: float, log_size: int, turns: int) -> None:
    """Print the second table: both pages take turns, so that a busy machine burdens both alike."""
    pause = Limits().quote_pause_seconds
    print(f"\n{clients} clients, quotes as fast as the software TPM gives them, {turns} turns of {seconds:.0f} s")
    print(HEAD)
    with machine(folder, log_size=log_size, quote_seconds=0.0, tree=MAX_TREE, pause=pause) as target:
        pairs = [[run(target, page, clients, seconds) for page in (STATIC, EVIDENCE)] for _ in range(turns)]
    ratios = [evidence.each / static.each for static, evidence in pairs]
    static, evidence = pairs[ratios.index(statistics.median_low(ratios))]
    print(static.row(f"a page that is ready, {static.size / 1e3:.0f} kB"))
    print(evidence.row(f"fresh evidence, {evidence.size / 1e3:.0f} kB"))
    print(
        f"  gateway and attester: {statistics.median(ratios):.2f} x the page's CPU (target at most {MOST_CPU} x); ",
        end="",
    )
    print(f"turns {', '.join(f'{ratio:.2f}' for ratio in ratios)}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {load}; one connection a client, kept alive")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slow_tpm(folder / "slow", clients=options.clients, seconds=options.seconds, log_size=40_000)
        for log_size in (40_000, 200_000):
            fast_tpm(
                folder / str(log_size),
                clients=options.clients,
                seconds=options.seconds,
                log_size=log_size,
                turns=options.turns,
            )


if __name__ == "__main__":
    main()
