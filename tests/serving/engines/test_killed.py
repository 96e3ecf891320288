"""The real engine, killed as the kernel kills for want of memory, while the real gateway streams from it."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.serving.engines import processes
from tests.serving.engines.test_llamacpp import QUESTION, start
from tests.serving.gateway.running import LIMITS, MODEL, gateway

pytestmark = pytest.mark.asyncio
SECRET = "xyzzy plugh"
LONG = [{"role": "user", "content": f"Count from one to a thousand. {SECRET}"}]


@contextmanager
def engine(folder):
    """Run an engine until the block ends, or until it is killed; its output must be empty."""
    with processes.notified(folder) as (channel, told):
        process = start(folder, environment=told)
        processes.wait_ready(channel, process, 120)
    try:
        yield process
    finally:
        process.kill()
        output, _ = process.communicate(timeout=20)
    assert output == b""


async def first_event(running, body):
    """Ask for a stream; return what came with the first event, and where the rest will come from."""
    data = json.dumps({"model": MODEL, "messages": body, "stream": True, "max_tokens": 400}).encode()
    reader, writer = await running.raw()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % len(data) + data)
    return await asyncio.wait_for(reader.readuntil(b"\n\n"), 60), reader, writer


async def test_an_engine_that_is_killed_in_a_stream_ends_it_properly_and_the_next_caller_gets_only_its_own(
    tmp_path, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("e")  # a socket's path is short
    models, limits = {MODEL: processes.socket_of(folder, MODEL)}, replace(LIMITS, probe_seconds=60)
    with engine(folder) as process:
        async with gateway(tmp_path, models=models, limits=limits, ready=False) as running:
            await running.until_ready(seconds=120)
            found, reader, writer = await first_event(running, LONG)
            process.kill()
            found += await asyncio.wait_for(reader.read(), 60)
            await running.until_ready("loading", seconds=60)
            writer.close()
            assert b'"type": "server_error"' in found
            assert b"[DONE]" not in found
            refused = await running.chat()
            assert (refused.status, refused.error["code"]) == (503, "engine_loading")
            with engine(folder):
                await running.until_ready(seconds=120)
                answer = await running.chat(messages=QUESTION, temperature=0, max_tokens=8)
                assert answer.json["choices"][0]["message"]["content"] == "The capital of Japan is Tokyo."
                assert SECRET.encode() not in answer.body
