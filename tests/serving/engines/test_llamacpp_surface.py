"""What the gateway promises of llama.cpp, asked of the real engine with the real model."""

from __future__ import annotations

import json
import signal
import statistics
import time
from dataclasses import replace

import pytest

from tests.serving.engines import processes
from tests.serving.engines.asking import post
from tests.serving.engines.test_llamacpp import start
from tests.serving.gateway.running import LIMITS, MODEL, gateway

QUESTION = [{"role": "user", "content": "What is the capital of Japan?"}]
WEATHER = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOLS = [{"type": "function", "function": WEATHER}]
PATIENT = replace(LIMITS, probe_seconds=60)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    with processes.notified(folder) as (channel, told):
        process = start(folder, environment=told)
        processes.wait_ready(channel, process, 120)
    yield folder / f"{MODEL}.sock"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def asked_before(city, number):
    """A turn in which the assistant asked for a city's weather: a model this small calls only where it saw calls."""
    function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
    return [
        {"role": "user", "content": f"Weather in {city}?"},
        {"role": "assistant", "tool_calls": [{"type": "function", "id": f"c{number}", "function": function}]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": "sunny"},
        {"role": "assistant", "content": "Sunny."},
    ]


@pytest.mark.asyncio
async def test_tools_are_called(engine, tmp_path):
    messages = [*asked_before("Rome", 1), *asked_before("Oslo", 2), {"role": "user", "content": "Weather in Paris?"}]
    fields = {"messages": messages, "tools": TOOLS, "tool_choice": "required", "max_tokens": 40, "temperature": 0}
    async with gateway(tmp_path, models={MODEL: engine}, limits=PATIENT) as running:
        (choice,) = (await running.chat(**fields)).json["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}


@pytest.mark.asyncio
async def test_tools_are_part_of_the_prompt_and_their_absence_is_not(engine, tmp_path):
    async with gateway(tmp_path, models={MODEL: engine}, limits=PATIENT) as running:
        read = [
            (await running.chat(messages=QUESTION, max_tokens=1, **tools)).json["usage"]["prompt_tokens"]
            for tools in ({}, {"tools": TOOLS}, {"tools": TOOLS, "tool_choice": "none"})
        ]
    assert read[0] == 16
    assert read[1] > 40


@pytest.mark.asyncio
async def test_an_answer_follows_its_schema(engine, tmp_path):
    schema = {"type": "object", "properties": {"n": {"enum": [7]}}, "required": ["n"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    async with gateway(tmp_path, models={MODEL: engine}, limits=PATIENT) as running:
        answer = await running.chat(messages=QUESTION, response_format=wanted, max_tokens=24, temperature=0)
        text = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
        body = {"model": MODEL, "input": "Where?", "text": text, "max_output_tokens": 24, "temperature": 0}
        response = await running.ask("POST", "/v1/responses", json=body)
    assert json.loads(answer.json["choices"][0]["message"]["content"]) == {"n": 7}
    assert json.loads(response.json["output"][0]["content"][0]["text"]) == {"n": 7}


@pytest.mark.asyncio
async def test_a_schema_that_llamacpp_cannot_take_is_the_callers_error(engine, tmp_path):
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "nonsense"}}}
    async with gateway(tmp_path, models={MODEL: engine}, limits=PATIENT) as running:
        answer = await running.chat(messages=QUESTION, response_format=wanted, max_tokens=1)
    assert (answer.status, answer.error["code"]) == (400, "invalid_value")


@pytest.mark.asyncio
async def test_texts_are_token_numbers_and_back(engine, tmp_path):
    async with gateway(tmp_path, models={MODEL: engine}, limits=PATIENT) as running:
        text = "hello world"
        told = await running.ask("POST", "/v1/tokenize", json={"model": MODEL, "prompt": text})
        back = await running.ask("POST", "/v1/detokenize", json={"model": MODEL, "tokens": told.json["tokens"]})
        read = await running.ask("POST", "/v1/completions", json={"model": MODEL, "prompt": text, "max_tokens": 1})
    assert (told.json["count"], back.json["prompt"]) == (2, text)
    assert read.json["usage"]["prompt_tokens"] == told.json["count"]


@pytest.mark.asyncio
async def test_a_model_without_embeddings_says_so(engine, tmp_path):
    async with gateway(tmp_path, models={MODEL: engine}, limits=PATIENT) as running:
        answer = await running.ask("POST", "/v1/embeddings", json={"model": MODEL, "input": "x"})
    assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")


@pytest.mark.asyncio
async def test_a_response_is_streamed_and_cut_rightly(engine, tmp_path):
    body = {"model": MODEL, "input": QUESTION, "max_output_tokens": 2, "temperature": 0, "stream": True}
    async with gateway(tmp_path, models={MODEL: engine}, limits=PATIENT) as running:
        answer = await running.ask("POST", "/v1/responses", json=body)
    last = json.loads(answer.body.decode().strip().split("\n\n")[-1].split("data: ")[1])
    assert (last["type"], last["response"]["usage"]["output_tokens"]) == ("response.incomplete", 2)
    assert last["response"]["output"][0]["content"][0]["text"] == "The capital"


def prompt(number):
    return f"{number} " + "one two three four five six seven eight nine ten " * 12


def timed(engine, text):
    """Ask for one token; return what the engine says that it read and took from a cache, and the seconds it took."""
    began = time.monotonic()
    _, data = post(engine, "/v1/completions", {"prompt": text, "max_tokens": 1, "stream": False, "temperature": 0})
    answer = json.loads(data)
    return answer["timings"]["prompt_n"], answer["timings"]["cache_n"], time.monotonic() - began


def test_a_prompt_that_somebody_sent_before_is_no_faster(engine):
    """The measurement with which vLLM's cache shows (its first answer took 39 times as long as its second)."""
    cold, repeated = [], []
    for number in range(4):
        first, again = timed(engine, prompt(number)), timed(engine, prompt(number))
        assert first[0] == again[0] > 100, "every token was read again"
        assert (first[1], again[1]) == (0, 0)
        cold.append(first[2])
        repeated.append(again[2])
    # A cache answers at once; a busy machine makes some answers slower, hardly one ten times as fast.
    assert statistics.median(repeated) > statistics.median(cold) / 4
