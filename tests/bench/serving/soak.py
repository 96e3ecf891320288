"""``make soak``: a thousand streams through the gateway for an hour, and what memory it takes while they last.

Streams end and begin anew all the time, one in five is left in the middle. Printed once a minute; the last line has the
most of it, by how much it grew an hour after the first tenth of the time, by least squares, and how what failed failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.bench.cpu import cpu_seconds
from tests.bench.serving.doors import Door, opened
from tests.bench.serving.engines import cheap

TOKENS, PAUSE_MS, LEAVES = 240, 250, 0.2


@dataclass
class Tally:
    """What has happened; ``failed`` counts, by what they met, streams that neither ended nor were left."""

    open: int = 0
    ended: int = 0
    left: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    events: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MiB


async def stream(session: aiohttp.ClientSession, url: str, body: bytes, tally: Tally, *, leave: int | None) -> None:
    """Ask once; leave after so many events."""
    seen = 0
    async with session.post(f"{url}/v1/completions", data=body, headers={"content-type": "application/json"}) as answer:
        answer.raise_for_status()
        tally.open += 1
        try:
            async for data in answer.content.iter_any():
                if b'data: {"error"' in data:
                    raise aiohttp.ClientPayloadError("an error as an event")
                more = data.count(b"data: {")
                seen, tally.events = seen + more, tally.events + more
                if leave is not None and seen >= leave:
                    tally.left += 1
                    return
            tally.ended += 1
        finally:
            tally.open -= 1


async def caller(session: aiohttp.ClientSession, url: str, tally: Tally, dice: random.Random) -> None:
    """Ask again and again, for answers of different lengths."""
    await asyncio.sleep(dice.uniform(0, 10))
    while True:
        tokens = dice.randrange(TOKENS // 2, TOKENS)
        told = {"model": "m", "prompt": "x" * dice.randrange(10, 4000), "stream": True}
        body = json.dumps(told | {"max_tokens": tokens, "seed": PAUSE_MS}).encode()
        leave = dice.randrange(tokens) if dice.random() < LEAVES else None
        try:
            await stream(session, url, body, tally, leave=leave)
        except aiohttp.ClientResponseError as error:
            tally.failed[f"status {error.status}"] += 1
            await asyncio.sleep(1)
        except (aiohttp.ClientError, OSError) as error:
            tally.failed[type(error).__name__] += 1
            await asyncio.sleep(1)


def resident(pid: int) -> tuple[float, float]:
    """Return resident memory and its peak, in MiB. It ends the measurement where the process has ended."""
    kilobytes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    if not kilobytes:  # nobody has waited for it: its status is there, its memory is not
        raise SystemExit("the gateway has ended: there is nothing to measure")
    return int(kilobytes["VmRSS"]) / 1024, int(kilobytes["VmHWM"]) / 1024


async def watch(door: Door, tally: Tally, seconds: float) -> None:
    """Print a line a minute."""
    began = time.monotonic()
    titles = ("minute", "open", "MiB", "peak", "tokens/s", "CPU", "ended", "left", "failed")
    print(" ".join(f"{title:>8}" for title in titles))
    while (now := time.monotonic() - began) < seconds:
        events, cpu = tally.events, cpu_seconds(door.pid)
        step = min(60.0, seconds - now)
        await asyncio.sleep(step)
        memory, peak = resident(door.pid)
        tally.memory.append((time.monotonic() - began, memory))
        busy, rate = (cpu_seconds(door.pid) - cpu) / step, (tally.events - events) / step
        figures = (
            (now + step) / 60,
            tally.open,
            memory,
            peak,
            rate,
            busy,
            tally.ended,
            tally.left,
            tally.failed.total(),
        )
        print(
            " ".join(f"{figure:8.1f}" if isinstance(figure, float) else f"{figure:8}" for figure in figures), flush=True
        )


async def soak(door: Door, streams: int, seconds: float) -> Tally:
    """Keep so many streams open for so long."""
    tally, dice = Tally(), random.Random(1)  # noqa: S311 - the same load each time
    connector = aiohttp.TCPConnector(limit=0, ssl=door.context)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        url = f"https://127.0.0.1:{door.port}"
        callers = [asyncio.create_task(caller(session, url, tally, dice)) for _ in range(streams)]
        await watch(door, tally, seconds)
        for one in callers:
            one.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*callers)
    return tally


def growth(memory: list[tuple[float, float]]) -> float:
    """Return MiB an hour, by least squares, without the first tenth of the time."""
    end = memory[-1][0]
    later = [(at, size) for at, size in memory if at >= end / 10]
    if len(later) < 2:
        return float("nan")
    return statistics.linear_regression([at / 3600 for at, _ in later], [size for _, size in later]).slope


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--shaping", action=argparse.BooleanOptionalAction, default=True)
    told = parser.parse_args()
    kind = "gateway, shaped" if told.shaping else "gateway"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # One caller has no more than are left free, and a place is free again only a moment after its stream's end.
        with cheap(folder) as engine, opened(folder, engine, (kind,), requests=3 * told.streams) as (door,):
            before, _ = resident(door.pid)
            versions = f"Python {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}, {door.about}"
            print(f"{kind}, {versions}, {told.streams} streams; before: {before:.1f} MiB")
            tally = asyncio.run(soak(door, told.streams, told.minutes * 60))
            most = max(size for _, size in tally.memory) * 1.048576
            print(f"at most {most:.1f} MB (budget 120), growth {growth(tally.memory):+.1f} MiB an hour")
            print("failed: " + (", ".join(f"{count} {what}" for what, count in tally.failed.most_common()) or "none"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
