"""More connections than there is room for, on the gateway as systemd starts it: nobody else is kept out."""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import socket
import ssl
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from serving.gateway.limits import Limits
from tests.serving.gateway.running import MODEL
from tests.serving.gateway.test_answers import TEXT
from tests.serving.gateway.test_silence import started

pytestmark = pytest.mark.asyncio
CROWD = 10_000
MEMORY = 250  # MB, of which some 65 are the process before anybody has come


@asynccontextmanager
async def alone(folder, *, descriptors=None):
    """Run a gateway; afterwards it must still be the same process, and must have said nothing."""
    process, engine, running = await started(folder, flags=())
    if descriptors:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
    try:
        yield process.pid, running
        assert process.returncode is None
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        output = await process.communicate()
        await engine.stop()
    assert output == (b"", b"")


def memory(pid):
    """Return the bytes of the address space and those that are resident (proc(5), statm)."""
    return [int(pages) * os.sysconf("SC_PAGE_SIZE") for pages in Path(f"/proc/{pid}/statm").read_text().split()[:2]]


def megabytes(pid):
    return memory(pid)[1] / 1e6


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


def connect(port, address):
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))


def crowd(port, *, tls):
    """Connect ten thousand times from one address, and ask nothing; some are refused or ended in the meantime."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(CROWD):
        channel = connect(port, "127.0.0.2")
        with suppress(OSError):
            yield context.wrap_socket(channel) if tls else channel


@pytest.fixture
def channels():
    """Connections that are closed afterwards, and room for the crowd's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    opened = []
    yield opened
    for channel in opened:
        channel.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("tls", [True, False], ids=["idle", "no handshake"])
async def test_ten_thousand_connections_of_one_host_keep_nobody_out(tmp_path, channels, tls):
    async with alone(tmp_path) as (pid, running):
        before = megabytes(pid)
        running.engine.token_pause = 3.0
        stream = asyncio.create_task(running.chat(stream=True))
        while not running.engine.seen.streaming:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(channels.extend, crowd(running.port, tls=tls))
        running.engine.token_pause = 0.0
        assert len(channels) > CROWD * 0.99
        assert descriptors(pid) <= Limits().connections + 500  # those that are being ended, too
        answer = await running.chat()
        assert answer.json["choices"][0]["message"]["content"] == TEXT
        assert (await stream).body.endswith(b"data: [DONE]\n\n"), "who was there before has lost nothing"
        sys.stderr.write(f"{CROWD} connections, tls {tls}: {before:.0f} MB before, {megabytes(pid):.0f} MB after\n")
        assert megabytes(pid) < MEMORY


async def test_a_gateway_without_descriptors_waits_does_not_spin_and_recovers(tmp_path, channels):
    async with alone(tmp_path, descriptors=40) as (pid, running):
        assert (await running.chat()).status == 200
        channels.extend(connect(running.port, "127.0.0.2") for _ in range(200))
        async with asyncio.timeout(60):
            while descriptors(pid) < 38:
                await asyncio.sleep(0.02)
        began, used = time.monotonic(), processor_seconds(pid)
        await asyncio.sleep(2)
        assert processor_seconds(pid) - used < 0.5 * (time.monotonic() - began)
        for channel in channels:
            channel.close()
        await running.until_ready()
        assert (await running.chat()).json["choices"][0]["message"]["content"] == TEXT


async def test_a_gateway_without_memory_refuses_and_recovers(tmp_path):
    """It might as well end, and be started again by its unit; here it does not, and no request costs another's."""
    async with alone(tmp_path) as (pid, running):
        resource.prlimit(pid, resource.RLIMIT_AS, (memory(pid)[0] + 24 * 2**20, resource.RLIM_INFINITY))
        large = json.dumps({"model": MODEL, "prompt": "x" * 3_900_000}).encode()
        asks = [running.ask("POST", "/v1/completions", data=io.BytesIO(large)) for _ in range(16)]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        answered = [answer for answer in answers if not isinstance(answer, Exception)]
        failed = {answer.error["code"] for answer in answered if answer.status != 200}
        assert failed <= {"engine_error", "engine_loading", "bad_request"}  # wherever it was that the memory ended
        assert failed or len(answered) < 16, "the memory was enough"
        await running.until_ready()
        assert (await running.chat()).json["choices"][0]["message"]["content"] == TEXT
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        answers = [await running.ask("POST", "/v1/completions", data=io.BytesIO(large)) for _ in range(3)]
        assert {answer.status for answer in answers} == {200}
