"""Clients that come and say nothing, vanish, take their time, or do with TLS what it has not: all of it ends in time.

After each fault somebody else is answered.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving.gateway.fake_engine import TOKENS
from tests.serving.gateway.running import LIMITS, MODEL, gateway

pytestmark = pytest.mark.asyncio
TEXT = "".join(TOKENS)
NEXT = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
STREAM = json.dumps({"model": MODEL, "prompt": "x", "stream": True}).encode()
ASK_STREAM = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(STREAM) + STREAM
_ADDRESS, _FLAGS, _UP = 0x8916, 0x8914, 1  # SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP (netdevice(7))


async def until(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def ends_alone(running, reader, writer):
    """The gateway ends this connection, and goes on with others."""
    await until_ended(reader)
    writer.close()
    await running.answers_another()


async def until_ended(reader, seconds=10):
    async with asyncio.timeout(seconds):
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass


def connected(running):
    """Return how many connections the gateway's side has, as Linux lists them (proc(5), net/tcp)."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for line in lines if int(line[1].split(":")[1], 16) == running.port and line[3] == "01")


# said nothing


async def test_a_connection_without_a_handshake_is_ended_in_time(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, handshake_seconds=0.3)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        await ends_alone(running, reader, writer)


async def test_a_connection_that_asks_nothing_after_an_answer_is_ended_in_time(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, keep_alive_seconds=1)) as running:
        reader, writer = await running.raw()
        writer.write(NEXT)
        await ends_alone(running, reader, writer)


async def test_the_rest_of_a_refused_body_does_not_hold_a_connection(tmp_path):
    """What dribbles in after the answer is no new request: it must not put off the end for ever."""
    async with gateway(tmp_path, limits=replace(LIMITS, header_seconds=0.5, keep_alive_seconds=1)) as running:
        reader, writer = await running.raw()
        writer.write(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert b" 404 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"x")
        await ends_alone(running, reader, writer)


async def test_empty_lines_after_an_answer_do_not_hold_a_connection(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, header_seconds=0.5, keep_alive_seconds=1)) as running:
        reader, writer = await running.raw()
        writer.write(NEXT)
        await reader.readuntil(b"}")
        writer.write(b"\r\n")
        await ends_alone(running, reader, writer)


async def test_the_oldest_idle_connection_gives_way_and_one_that_works_does_not(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, connections=4)) as running:
        running.engine.token_pause = 0.5
        working, writer = await running.raw()
        writer.write(ASK_STREAM)
        await working.readuntil(b"The")
        idle = [await running.raw() for _ in range(12)]
        await until_ended(idle[0][0])
        assert not idle[-1][0].at_eof()
        assert (await running.ask("GET", "/healthz")).status == 200
        assert b"[DONE]" in await asyncio.wait_for(working.readuntil(b"[DONE]"), 20)
        for _, other in [*idle, (working, writer)]:
            other.transport.abort()


# sent ahead


@pytest.mark.parametrize("stream", [True, False], ids=["of a stream", "of a whole answer"])
@pytest.mark.parametrize("ahead", [1, 5000])
async def test_a_request_ahead_of_an_answer_hides_no_departure(tmp_path, ahead, stream):
    """It would keep the gateway from reading, and so from seeing its client leave: it ends the connection instead."""
    async with gateway(tmp_path) as running:
        running.engine.fault.kind = "silence_in_stream" if stream else "silence"
        asked = len(running.engine.seen.requests)
        reader, writer = await running.raw()
        writer.write(ASK_STREAM)
        await until(lambda: len(running.engine.seen.requests) > asked)
        (ask,) = [reader for _, reader, _ in running.engine.connections.values() if not reader.at_eof()]
        writer.write(NEXT * ahead)
        await until_ended(reader)
        await until(ask.at_eof)
        writer.transport.abort()
        running.engine.fault.kind = "answer"
        await running.answers_another()


async def test_two_requests_in_one_packet_end_the_connection(tmp_path):
    async with gateway(tmp_path) as running:
        reader, writer = await running.raw()
        writer.write(NEXT + NEXT)
        await until_ended(reader)
        writer.transport.abort()
        await running.answers_another()


async def test_a_request_behind_an_answer_is_answered_on_the_same_connection(tmp_path):
    async with gateway(tmp_path) as running:
        reader, writer = await running.raw()
        for _ in range(3):
            writer.write(ASK_STREAM)
            assert b"[DONE]" in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10)
            writer.write(NEXT)
            assert b"engine" in await asyncio.wait_for(reader.readuntil(b"}"), 10)
        writer.close()


async def test_nonsense_behind_a_request_is_not_answered_into_its_stream(tmp_path):
    async with gateway(tmp_path) as running:
        running.engine.token_pause = 0.3
        reader, writer = await running.raw()
        writer.write(ASK_STREAM)
        found = await reader.readuntil(b"The")
        writer.write(b"\x00nonsense\r\n\r\n")
        with suppress(ConnectionError):
            while some := await asyncio.wait_for(reader.read(65536), 10):
                found += some
        assert found.count(b"HTTP/1.1") == 1
        writer.transport.abort()
        running.engine.token_pause = 0.0
        await running.answers_another()


# vanished


@contextmanager
def an_address_that_can_vanish():
    """Give the loopback one more address; what is yielded beside it takes it away, as a cable that is pulled."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        number = 1 + os.getpid() % 250  # tests of other processes have others
        name, address = f"lo:{number}".encode(), f"10.99.99.{number}"

        def vanish():
            fcntl.ioctl(control, _FLAGS, struct.pack("16sh14x", name, 0))

        inside = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(control, _ADDRESS, inside)
        fcntl.ioctl(control, _FLAGS, struct.pack("16sh14x", name, _UP))
        try:
            yield address, vanish
        finally:
            with suppress(OSError):
                vanish()


@pytest.mark.parametrize("streams", [True, False], ids=["in a stream", "while it waits"])
async def test_a_host_that_vanishes_without_a_word_is_noticed_and_its_work_is_cancelled(tmp_path, streams):
    async with gateway(tmp_path, limits=replace(LIMITS, vanished_seconds=2)) as running:
        running.engine.fault.kind = "long_stream" if streams else "silence"
        running.engine.token_pause = 0.05
        with an_address_that_can_vanish() as (address, vanish):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", running.port, ssl=running.context, server_hostname="", local_addr=(address, 0)
            )
            writer.write(ASK_STREAM)
            if streams:
                await reader.readuntil(b"Paris")
            await until(lambda: running.engine.connections)
            await until(lambda: connected(running) == 1)
            vanish()
            began = time.monotonic()
            await until(lambda: not running.engine.seen.streaming and not connected(running), seconds=30)
            assert time.monotonic() - began < 30
            if streams:
                assert running.engine.seen.cancelled == 1
            writer.transport.abort()
        running.engine.fault.kind, running.engine.token_pause = "answer", 0.0
        await running.answers_another()
