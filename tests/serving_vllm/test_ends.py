"""What is shared between requests, as times; and the end of an engine in the middle of an answer. It starts its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace

import pytest

from serving.gateway.limits import Limits
from tests.serving.engines import processes
from tests.serving.engines.asking import post
from tests.serving.gateway.running import gateway
from tests.serving_vllm.conftest import NAME, begin, end
from tests.serving_vllm.versions import GPUS

LIMITS = replace(Limits(), probe_pause_seconds=0.1)
CANARY = "xyzzy-plugh-4711"
ROUNDS = 3
ENDLESS = {"0": -100, "2": -100}  # the model's tokens for the end: it goes on until somebody stops it


def prompt(number):
    """A prompt of some thousand tokens that begins like no other."""
    return f"Letter {number}. " + " ".join(f"In the year {year} nothing much happened." for year in range(1800, 1900))


def seconds(engine, text, salt=None):
    body = {"model": NAME, "prompt": text, "max_tokens": 1} | ({"cache_salt": salt} if salt else {})
    began = time.monotonic()
    status, _ = post(engine.socket, "/v1/completions", body)
    assert status == 200
    return time.monotonic() - began


@pytest.fixture
def short(tmp_path_factory):
    """A folder of a short name: vLLM makes UNIX sockets below it, whose paths have at most 107 bytes."""
    return tmp_path_factory.mktemp("own")


@pytest.fixture
def caching(short):
    """An engine that keeps beginnings of prompts, for a gateway that salts every request."""
    running = begin(short, prefix_caching=True)
    yield running
    end(running)


@pytest.mark.skipif(GPUS > 0, reason="reading a prompt takes a GPU no time that could be told: seen on the CPU")
def test_a_prompt_of_somebody_elses_is_not_answered_faster(caching):
    """With one salt a subject; facts of the engine, measured: without salts the second one is answered at once."""
    cold, own, others = [], [], []
    for number in range(ROUNDS):
        cold.append(seconds(caching, prompt(number), "salt of A"))
        own.append(seconds(caching, prompt(number), "salt of A"))
        others.append(seconds(caching, prompt(number), "salt of B"))
    print(f"cold {cold}, same salt {own}, another salt {others}")
    assert min(own) < min(cold) / 3, "the cache is on, else this shows nothing"
    assert min(others) > min(cold) / 2


def test_by_default_nothing_is_kept_at_all(engine):
    first = [seconds(engine, prompt(number)) for number in range(ROUNDS)]
    again = [seconds(engine, prompt(number)) for number in range(ROUNDS)]
    print(f"first {first}, again {again}")
    assert min(again) > min(first) / 2


async def ended(pid):
    """Wait until a process is dead, as its pidfd tells."""
    loop, dead, file = asyncio.get_running_loop(), asyncio.Event(), os.pidfd_open(pid)
    loop.add_reader(file, dead.set)
    async with asyncio.timeout(60):
        await dead.wait()
    loop.remove_reader(file)
    os.close(file)


@pytest.mark.asyncio
async def test_a_core_that_dies_in_the_middle_ends_the_stream_the_engine_and_leaves_no_trace(short):
    """The engine core writes down what it was working on when it dies; systemd then starts the engine again."""
    engine = begin(short)
    members = processes.family(engine.process.pid)
    (core,) = [pid for pid in members if "VLLM::EngineCore" in " ".join(processes.words(pid))]
    (short / "gateway").mkdir()
    async with gateway(short / "gateway", models=engine.models, limits=LIMITS, kind="vllm") as running:
        fields = {"messages": [{"role": "user", "content": f"Repeat {CANARY}"}], "stop": [CANARY * 2]}
        fields |= {"temperature": 0, "logit_bias": ENDLESS}
        asking = asyncio.create_task(running.chat(model=NAME, stream=True, max_tokens=1900, **fields))
        await asyncio.sleep(3)
        assert not asking.done()
        os.kill(core, signal.SIGSEGV)
        await ended(core)  # the kernel takes its memory first, which is long where many want the processor
        began = time.monotonic()
        await running.until_ready("loading")
        noticed = time.monotonic() - began
        answer = await asking
        last = json.loads(answer.body.decode().rstrip().split("\n\n")[-1].removeprefix("data: "))
        assert last["error"]["type"] == "server_error"
        assert (await running.chat(model=NAME)).error["code"] == "engine_loading"
        assert processes.gone(members, 60)
        output, _ = engine.process.communicate(timeout=60)
        assert (engine.process.returncode, output) == (1, b"")
        assert [*engine.temporary.iterdir()] == []
        print(f"noticed {noticed:.2f} s after its death")
        assert noticed < 5, (
            "a second is the claim, which tests/serving holds as a median; here three programs share two cores"
        )
        again = begin(short)
        await running.until_ready()
        assert (await running.chat(model=NAME, max_tokens=1)).status == 200
    end(again)
