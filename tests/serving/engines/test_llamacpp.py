"""The real engine with the real model, as a process of its own, behind the real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import stat
import threading
import time
from dataclasses import replace

import pytest

from tests.serving.engines import processes
from tests.serving.engines.asking import post
from tests.serving.engines.llamacpp import serving, start, started
from tests.serving.gateway.running import LIMITS, MODEL, gateway

QUESTION = [{"role": "user", "content": "What is the capital of Japan?"}]
ENDLESS = {"0": -100, "2": -100}  # the model's tokens for the end: an answer is as long as it may be


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A running engine: its process and its socket."""
    with serving(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.mark.asyncio
async def test_a_chat_and_a_stream_are_answered_rightly_through_the_gateway(engine, tmp_path):
    async with gateway(tmp_path, models={MODEL: engine[1]}, limits=replace(LIMITS, probe_seconds=60)) as running:
        fields = {"messages": QUESTION, "temperature": 0, "max_tokens": 8}
        answer = (await running.chat(**fields)).json
        assert answer["choices"][0]["message"]["content"] == "The capital of Japan is Tokyo."
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["model"] == MODEL
        assert answer["usage"]["prompt_tokens"] == 16
        streamed = await running.chat(**fields, stream=True, stream_options={"include_usage": True})
        parts = [json.loads(line[6:]) for line in streamed.body.decode().split("\n\n") if line.startswith("data: {")]
        pieces = [part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"]]
        assert "".join(pieces) == "The capital of Japan is Tokyo."
        assert parts[-1]["usage"]["completion_tokens"] == 8
        unasked = (await running.chat(**fields, stream=True)).body.decode()
        assert "usage" not in unasked
        assert unasked.count("data: {") == len(parts) - 1


@pytest.mark.asyncio
async def test_a_prompt_over_the_context_is_openais_error(engine, tmp_path):
    async with gateway(tmp_path, models={MODEL: engine[1]}, limits=replace(LIMITS, probe_seconds=60)) as running:
        answer = await running.chat(messages=[{"role": "user", "content": "word " * 1000}])
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")


async def seconds(running, tokens):
    began = time.monotonic()
    answer = await running.chat(max_tokens=tokens, logit_bias=ENDLESS)
    assert answer.json["usage"]["completion_tokens"] == tokens
    return time.monotonic() - began


@pytest.mark.asyncio
async def test_whoever_leaves_a_long_answer_frees_the_only_slot(tmp_path, tmp_path_factory):
    """The next one is answered long before that answer would have ended, as 100 of its 2,000 tokens tell."""
    with serving(tmp_path_factory.mktemp("long"), context=2304) as (_, socket):
        async with gateway(tmp_path, models={MODEL: socket}, limits=replace(LIMITS, probe_seconds=60)) as running:
            whole = 20 * await seconds(running, 100)
            for stream in (False, True):
                asking = asyncio.create_task(running.chat(max_tokens=2000, logit_bias=ENDLESS, stream=stream))
                await asyncio.sleep(whole / 100)
                asking.cancel()
                await asyncio.wait({asking})
                assert asking.cancelled(), "it had ended already"
                assert await seconds(running, 1) < whole / 2


def test_nothing_of_an_earlier_prompt_is_reused(engine):
    body = {"prompt": "one two three four five six seven eight nine ten", "max_tokens": 1, "stream": False}
    for _ in range(2):
        _, data = post(engine[1], "/v1/completions", body)
        assert json.loads(data)["timings"]["cache_n"] == 0
        assert json.loads(data)["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_the_socket_is_for_owner_and_group(engine):
    assert stat.S_IMODE(engine[1].stat().st_mode) == 0o660


def test_it_listens_on_no_network(engine):
    assert processes.internet(engine[0].pid) == []


@pytest.mark.parametrize("route", ["/slots", "/metrics", "/props"])
def test_routes_that_tell_of_others_are_off(engine, route):
    status, _ = post(engine[1], route, {})
    assert status >= 400


def ask_in_vain(path, **fields):
    with contextlib.suppress(OSError, http.client.HTTPException):
        post(path, "/v1/chat/completions", {"messages": QUESTION, "stream": False, **fields})


def test_an_engine_says_that_it_lives_while_it_works_and_not_when_it_is_stuck(tmp_path):
    """What freezes it here is refused by the gateway; that there is nothing else like it, nobody can promise."""
    schema = {"type": "string", "pattern": "^(a?){1999}$"}
    frozen = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}
    with processes.notified(tmp_path) as (channel, variables):
        process = start(tmp_path, environment={**variables, "WATCHDOG_USEC": "800000"}, context=2048)
        path = processes.socket_of(tmp_path, MODEL)
        try:
            processes.wait_ready(channel, process, 120)
            for fields, lives in (({"max_tokens": 300, "ignore_eos": True}, True), (frozen, False)):
                asking = threading.Thread(target=ask_in_vain, args=(path,), kwargs=fields, daemon=True)
                asking.start()
                if lives:
                    processes.lives(channel, 2)  # what was on its way
                    assert processes.lives_again(channel, 60)
                else:
                    assert processes.falls_silent(channel, 8, within=120)
                asking.join(600 if lives else 0)  # its threads wait for each other where others have the cores
                assert asking.is_alive() is not lives
        finally:
            process.kill()
            process.communicate()


def test_an_engine_whose_unit_has_no_watchdog_says_nothing(tmp_path):
    with processes.notified(tmp_path) as (channel, variables):
        process = start(tmp_path, environment=variables)
        try:
            processes.wait_ready(channel, process, 120)
            assert processes.lives(channel, 2) == 0
        finally:
            process.kill()
            process.communicate()


def test_a_killed_engine_starts_again_on_the_same_socket(tmp_path):
    for _ in range(2):
        process, path = started(tmp_path)
        process.kill()
        process.communicate()
        assert path.exists(), "a killed process leaves its socket, and the next one must cope"


@pytest.mark.parametrize(
    ("content", "options"),
    [(None, {}), (b"", {}), (b"GGUF nonsense", {}), (None, {"dtype": "float16"}), (None, {"slots": "1"})],
    ids=["no file", "an empty file", "nonsense", "an option of vLLM's", "an option of another type"],
)
def test_a_model_that_cannot_be_served_ends_the_process(tmp_path, content, options):
    (tmp_path / "broken").mkdir()
    if content is not None:
        (tmp_path / "broken/model.gguf").write_bytes(content)
    process = start(tmp_path, model=None if options else tmp_path / "broken", **options)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert output == b""
