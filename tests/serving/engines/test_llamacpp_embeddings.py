"""The real llama.cpp with a model for embeddings: the small one, made to generate, as if it were one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import math
import signal
import struct
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from serving.engines.probe import answers
from tests.serving.engines import processes
from tests.serving.engines.asking import post
from tests.serving.engines.test_llamacpp import start
from tests.serving.gateway.running import LIMITS, MODEL, gateway

PATIENT = replace(LIMITS, probe_seconds=60)
TEXTS = ["The weather in Rome is sunny.", "def f(x): return x + 1"]


def running(folder, **options):
    with processes.notified(folder) as (channel, told):
        process = start(folder, environment=told, task="embed", **options)
        processes.wait_ready(channel, process, 120)
    return process


def stop(process):
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert output == b"", "the engine printed something"


@pytest.fixture(scope="module", params=["last", "mean"])
def engine(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    process = running(folder, pooling=request.param, slots=2)
    yield process, processes.socket_of(folder, MODEL)
    stop(process)


def served(folder, engine):
    return gateway(folder, models={MODEL: engine[1]}, limits=PATIENT, kind="llamacpp,embed")


async def embed(gateway, **fields):
    return await gateway.ask("POST", "/v1/embeddings", json={"model": MODEL, **fields})


@pytest.mark.asyncio
async def test_a_text_is_embedded_alike_whatever_else_is_asked_at_the_time(engine, tmp_path):
    """llama.cpp, told to work on two at once, pools of the longer one only what is left when the shorter one ends."""
    async with served(tmp_path, engine) as served_by:
        alone = [(await embed(served_by, input=text)).json["data"][0]["embedding"] for text in TEXTS]
        answer = (await embed(served_by, input=TEXTS)).json
        together = [item["embedding"] for item in answer["data"]]
        at_once = await asyncio.gather(*(embed(served_by, input=text) for text in TEXTS * 4))
        together += [one.json["data"][0]["embedding"] for one in at_once]
        coded = (await embed(served_by, input=TEXTS[0], encoding_format="base64")).json["data"][0]["embedding"]
    assert {len(numbers) for numbers in (*alone, *together)} == {576}
    assert max(math.dist(one, other) for one, other in zip(alone * 5, together, strict=True)) < 0.02
    assert math.dist(*alone) > 0.1
    decoded = struct.unpack("<576f", base64.b64decode(coded))
    assert math.dist(decoded, alone[0]) < 0.02
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 10


@pytest.mark.asyncio
async def test_a_text_of_the_whole_context_is_embedded_and_a_longer_one_is_the_callers_error(engine, tmp_path):
    async with served(tmp_path, engine) as served_by:
        assert (await embed(served_by, input="word " * 500)).status == 200
        refused = [await embed(served_by, input="word " * length) for length in (520, 2000)]
    assert [(one.status, one.error["code"]) for one in refused] == [(400, "context_length_exceeded")] * 2


@pytest.mark.asyncio
@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
async def test_it_generates_nothing(engine, tmp_path, route):
    asked = {"messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x"}
    (key,) = {"/v1/chat/completions": ["messages"], "/v1/completions": ["prompt"], "/v1/responses": ["input"]}[route]
    async with served(tmp_path, engine) as served_by:
        answer = await served_by.ask("POST", route, json={"model": MODEL, key: asked[key]})
    assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")


def test_there_is_a_thread_for_each_request_that_the_gateway_lets_through(engine, tmp_path):
    process = running(tmp_path, requests=300)
    few, many = (len([*Path(f"/proc/{pid}/task").iterdir()]) for pid in (engine[0].pid, process.pid))
    stop(process)
    assert 64 < few < 300 < many


def test_it_says_that_it_lives_while_texts_wait_and_not_when_it_is_stopped(tmp_path):
    """Texts wait in one line: a text of the watchdog's would wait behind all of them."""
    with processes.notified(tmp_path) as (channel, told):
        process = start(tmp_path, environment={**told, "WATCHDOG_USEC": "800000"}, task="embed", pooling="mean")
        processes.wait_ready(channel, process, 120)
        assert processes.lives_again(channel, 60)
        asking = [threading.Thread(target=asked_in_vain, args=(tmp_path,), daemon=True) for _ in range(4)]
        for one in asking:
            one.start()
        processes.lives(channel, 2)  # what was on its way
        assert processes.lives_again(channel, 60)
        assert all(one.is_alive() for one in asking), "they were to be waiting all the time"
        process.send_signal(signal.SIGSTOP)
        processes.lives(channel, 2)
        assert processes.lives(channel, 5) == 0
        process.kill()
        process.communicate()


def asked_in_vain(folder):
    with contextlib.suppress(OSError, http.client.HTTPException):
        post(processes.socket_of(folder, MODEL), "/v1/embeddings", {"input": ["word " * 500] * 200})


def test_a_model_that_says_no_pooling_answers_no_probe(tmp_path):
    """It says so itself; without an inventory that says one, it is never ready."""
    process = running(tmp_path)
    status, data = post(processes.socket_of(tmp_path, MODEL), "/v1/embeddings", {"input": "x"})
    assert (status, b"Pooling type" in data) == (400, True)
    assert not answers(processes.socket_of(tmp_path, MODEL), "embed")
    stop(process)
