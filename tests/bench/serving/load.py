"""Asking through a door: many streams at once, each timed token by token; CPU time of the door's process beside it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import aiohttp

from tests.bench.cpu import cpu_seconds
from tests.bench.serving.doors import Door


@dataclass(frozen=True)
class Load:
    """How many streams at once, how often each asks, for how many tokens; ``pause`` is the fake engine's, in ms."""

    streams: int
    tokens: int
    turns: int = 1
    pause: int = 1
    model: str = "m"

    @property
    def body(self) -> bytes:
        told = {"model": self.model, "prompt": "The capital of France is", "temperature": 0, "stream": True}
        return json.dumps(told | {"max_tokens": self.tokens, "seed": self.pause}).encode()


@dataclass(frozen=True)
class Run:
    """One run of a load through a door; times in seconds. ``first`` are the times to each stream's first token."""

    events: int
    wall: float
    cpu: float
    first: tuple[float, ...]


async def _stream(session: aiohttp.ClientSession, url: str, load: Load) -> Iterator[tuple[int, float]]:
    found = []
    for _ in range(load.turns):
        began, first, events = time.perf_counter(), 0.0, 0
        headers = {"content-type": "application/json"}
        async with session.post(f"{url}/v1/completions", data=load.body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            async for data in answer.content.iter_any():
                assert b'data: {"error"' not in data, data
                events += data.count(b"data: {")
                if events and not first:  # a shaped stream begins with records that say nothing
                    first = time.perf_counter() - began
        assert events, "nothing was streamed"
        found.append((events, first))
    return found


async def _run(door: Door, load: Load) -> Run:
    url = f"https://127.0.0.1:{door.port}" if door.context else "http://engine"
    connector = _connector(door)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=1800)) as session:
        # Connected before the clock starts: a handshake is paid once a connection, and is no part of a request.
        await asyncio.gather(*(_stream(session, url, replace(load, tokens=1, turns=1)) for _ in range(load.streams)))
        cpu, began = _cpu(door), time.perf_counter()
        streams = await asyncio.gather(*(_stream(session, url, load) for _ in range(load.streams)))
        wall = time.perf_counter() - began
        turns = [turn for stream in streams for turn in stream]
        return Run(sum(e for e, _ in turns), wall, _cpu(door) - cpu, tuple(f for _, f in turns))


def _connector(door: Door) -> aiohttp.BaseConnector:
    if door.socket:
        return aiohttp.UnixConnector(str(door.socket), limit=0, force_close=not door.keeps)
    return aiohttp.TCPConnector(limit=0, ssl=door.context)


def run(door: Door, load: Load) -> Run:
    """Carry a load through a door once."""
    return asyncio.run(_run(door, load))


def _cpu(door: Door) -> float:
    return cpu_seconds(door.pid) if door.pid else 0.0


def interleaved(doors: list[Door], load: Load, rounds: int) -> dict[str, list[Run]]:
    """Let the doors take turns, so that a busy machine burdens all of them alike; a round before counts for nothing."""
    found: dict[str, list[Run]] = {door.name: [] for door in doors}
    for number in range(rounds + 1):
        for door in doors if number % 2 else doors[::-1]:
            measured = run(door, load)
            if number:
                found[door.name].append(measured)
    return found


def median_p5(values: list[float]) -> tuple[float, float]:
    """Return the median and the value that 95 of 100 are above: of rates, where less is worse."""
    return statistics.median(values), statistics.quantiles([*values, *values], n=20)[0]


def median_p95(values: list[float]) -> tuple[float, float]:
    """Return the median and the value that 95 of 100 are below."""
    return statistics.median(values), statistics.quantiles([*values, *values], n=20)[-1]
