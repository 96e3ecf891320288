"""The gateway keeps nothing of a request that is over: looked for in the memory of its process."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.gateway.forgetting import BeginsUntouched
from tests.bench.serving import doors
from tests.bench.serving.engines import cheap
from tests.canary import new_canary
from tests.process_memory import kept, kept_after

ROOT = Path(__file__).resolve().parents[3]
# For a busy machine; the gateway keeps an idle connection to its engine, and one of a silent client, for longer.
SECONDS = 10
UNIT = ROOT / "roles/gateway/files/tree/usr/lib/systemd/system/vitrine-gateway.service.j2"


def ask(door, text, **fields):
    """Send a text through the gateway; the engine behind it answers with words of its own."""
    connection = http.client.HTTPSConnection("127.0.0.1", door.port, context=door.context, timeout=60)
    try:
        body = json.dumps({"model": "m", "prompt": text, "max_tokens": 3, "seed": 1, **fields})
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    with cheap(folder) as engine, doors.opened(folder, engine, ("gateway",), requests=8) as (opened,):
        yield opened


@pytest.mark.parametrize("often", [1, 40, 4000])
@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"max_tokens": "x"}, {"stop": "stop"}])
def test_nothing_is_left_of_a_request_that_is_over(door, often, fields):
    canary = new_canary()
    ask(door, canary.text * often, **fields)
    assert kept_after(SECONDS, door.pid, canary) == {}


def test_a_prompt_is_gone_while_its_answer_still_comes(door):
    canary = new_canary()
    connection = http.client.HTTPSConnection("127.0.0.1", door.port, context=door.context, timeout=60)
    # A word every tenth of a second, and so many of them that the answer lasts much longer than the search.
    told = {"model": "m", "prompt": canary.text * 400, "max_tokens": 100 * SECONDS, "seed": 100, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(told), {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.readline().startswith(b"data: ")
    during = kept_after(SECONDS, door.pid, canary)
    connection.close()
    assert during == {}


def test_nothing_is_left_of_a_request_that_was_broken_off(door):
    canary = new_canary()
    connection = http.client.HTTPSConnection("127.0.0.1", door.port, context=door.context, timeout=60)
    connection.putrequest("POST", "/v1/completions")
    connection.putheader("content-length", "100000")
    connection.endheaders(json.dumps({"model": "m", "prompt": canary.text * 1000}).encode())
    # The control: it is there while it is needed.
    deadline = time.monotonic() + SECONDS
    while not kept(door.pid, canary):
        assert time.monotonic() < deadline, "the search does not see what the gateway has"
        time.sleep(0.1)
    connection.close()
    assert kept_after(SECONDS, door.pid, canary) == {}


def test_without_the_units_environment_something_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(doors, "UNIT", {})
    canary = new_canary()
    with cheap(tmp_path) as engine, doors.opened(tmp_path, engine, ("gateway",), requests=8) as (door,):
        ask(door, canary.text * 40)
        time.sleep(0.5)
        assert kept(door.pid, canary), "nothing had to be cleared: the tests above prove nothing"


def test_the_environment_is_the_units():
    lines = re.findall(r"^Environment=(.*)$", UNIT.read_text(), re.MULTILINE)
    words = dict(word.split("=", 1) for line in lines for word in line.split())
    assert {name: value for name, value in words.items() if name != "PYTHONPATH"} == doors.UNIT


RESIDENT = """
import ctypes, re, sys
from serving.gateway.forgetting import overwrite_what_is_freed, untouched
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
def grown():
    before = resident()
    kept = [malloc(256 * 1024) for _ in range(64)]
    return resident() - before
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
overwrite_what_is_freed()
with untouched():
    little = grown()
print(little, grown())
"""


def test_a_buffer_that_is_made_untouched_takes_no_memory():
    environment = {**os.environ, **doors.UNIT, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", RESIDENT], env=environment, capture_output=True, text=True, check=True)
    little, much = map(int, done.stdout.split())
    assert little < 4096
    assert much >= 64 * 256  # and what comes after is overwritten again


async def counting(seen):
    try:
        while True:
            seen.append("step")
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise


@pytest.mark.asyncio
async def test_what_begins_untouched_goes_on_and_can_be_cancelled():
    seen = []
    task = asyncio.get_running_loop().create_task(BeginsUntouched(counting(seen)))
    while len(seen) < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen[:3] == ["step"] * 3
    assert seen[-1] == "cancelled"


@pytest.mark.asyncio
async def test_an_error_in_it_is_its_callers():
    async def fail():
        await asyncio.sleep(0)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await asyncio.get_running_loop().create_task(BeginsUntouched(fail()))
