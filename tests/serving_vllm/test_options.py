"""What the inventory turns on for one model: embeddings, calls of tools, media. Each starts an engine of its own."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from serving.gateway.limits import Limits
from tests.serving.engines import processes
from tests.serving.engines.asking import post
from tests.serving.gateway.running import gateway
from tests.serving_vllm.conftest import NAME, begin, end

LIMITS = replace(Limits(), probe_pause_seconds=0.1)
GIF = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY, "strict": True}}]


@pytest.fixture(scope="module")
def embedding(tmp_path_factory):
    """The small model, made to generate, as one for embeddings: numbers without much meaning, by the real way."""
    running = begin(tmp_path_factory.mktemp("e"), task="embed")
    yield running
    end(running)


@pytest.fixture(scope="module")
def calling(tmp_path_factory):
    """One whose calls are read, and to which media may be sent, though it sees nothing."""
    running = begin(tmp_path_factory.mktemp("c"), tool_parser="hermes", media=1)
    yield running
    end(running)


async def embed(running, **fields):
    return await running.ask("POST", "/v1/embeddings", json={"model": NAME, **fields})


def cosine(one, other):
    return sum(map(math.prod, zip(one, other, strict=True))) / math.hypot(*one) / math.hypot(*other)


@pytest.mark.asyncio
async def test_texts_are_embedded_alike_and_apart(tmp_path, embedding):
    async with gateway(tmp_path, models=embedding.models, limits=LIMITS, kind="vllm,embed") as running:
        texts = ["The weather in Rome is sunny.", "The weather in Rome is sunny.", "def f(x): return x + 1"]
        answer = await embed(running, input=texts)
        first, same, other = (item["embedding"] for item in answer.json["data"])
        assert len(first) == 576
        assert cosine(first, same) > 0.999 > cosine(first, other)
        assert answer.json["usage"]["prompt_tokens"] == answer.json["usage"]["total_tokens"] > 10
        tokens = (await running.ask("POST", "/v1/tokenize", json={"model": NAME, "prompt": texts[0]})).json["tokens"]
        (by_numbers,) = (await embed(running, input=tokens)).json["data"]
        assert cosine(first, by_numbers["embedding"]) > 0.999


@pytest.mark.asyncio
async def test_what_a_model_for_embeddings_cannot_do_is_openais_error(tmp_path, embedding):
    async with gateway(tmp_path, models=embedding.models, limits=LIMITS, kind="vllm,embed") as running:
        assert (await running.chat(model=NAME)).error["code"] == "unsupported_operation"
        long = await embed(running, input="word " * 3000)
        assert (long.status, long.error["code"]) == (400, "context_length_exceeded")
        assert (await embed(running, input="x", dimensions=8)).status == 400, "this model has no shorter ones"


@pytest.mark.parametrize("route", ["/v1/completions", "/v1/chat/completions", "/v1/responses"])
def test_an_engine_for_embeddings_generates_nothing_whoever_asks(embedding, route):
    status, _ = post(embedding.socket, route, {"model": NAME, "prompt": "x", "messages": [], "input": "x"})
    assert status == 404


def test_it_is_started_by_vllms_own_words(embedding, calling):
    line = " ".join(processes.words(processes.server_of(embedding.process.pid)))
    assert "--runner pooling --convert embed" in line
    assert '{"image": 0, "video": 0, "audio": 0}' in line
    line = " ".join(processes.words(processes.server_of(calling.process.pid)))
    assert "--enable-auto-tool-choice --tool-call-parser hermes" in line
    assert '{"image": 1, "video": 0, "audio": 1}' in line


@pytest.mark.asyncio
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
async def test_a_call_that_is_asked_for_is_one_by_the_schema(tmp_path, calling, choice):
    """The tool says ``strict``: vLLM 0.32 takes any JSON for the arguments of one that does not."""
    async with gateway(tmp_path, models=calling.models, limits=LIMITS, kind="vllm,tools") as running:
        question = [{"role": "user", "content": "Weather in Paris?"}]
        fields = {"model": NAME, "messages": question, "tools": TOOLS, "max_tokens": 80, "temperature": 0}
        answer = await running.chat(**fields, tool_choice=choice)
        (call, *_) = answer.json["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather"
        assert {*json.loads(call["function"]["arguments"])} == {"city"}


def written(city):
    return f"<tool_call>\n{json.dumps({'name': 'get_weather', 'arguments': {'city': city}})}\n</tool_call>"


SHOWN = [
    message
    for city in ("Rome", "Oslo")
    for message in ({"role": "user", "content": f"Weather in {city}?"}, {"role": "assistant", "content": written(city)})
]


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_the_model_chooses_to_write_is_read(tmp_path, calling, stream):
    """It was shown twice how: a model this small does not find it out."""
    async with gateway(tmp_path, models=calling.models, limits=LIMITS, kind="vllm,tools") as running:
        messages = [*SHOWN, {"role": "user", "content": "Weather in Paris?"}]
        fields = {"model": NAME, "messages": messages, "tools": TOOLS, "max_tokens": 60, "temperature": 0}
        answer = await running.chat(**fields, stream=stream)
        if not stream:
            (choice,) = answer.json["choices"]
            assert choice["finish_reason"] == "tool_calls"
            (call,) = choice["message"]["tool_calls"]
            assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
            return
        events = [json.loads(e[6:]) for e in answer.body.decode().split("\n\n") if e.startswith("data: {")]
        deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
        calls = [call["function"] for delta in deltas for call in delta.get("tool_calls") or ()]
        assert [call["name"] for call in calls if call.get("name")] == ["get_weather"]
        assert json.loads("".join(call.get("arguments") or "" for call in calls)) == {"city": "Paris"}


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_without_a_parser_vllm_speaks_of_its_flags_which_is_why_the_gateway_refuses_first(engine, choice):
    body = {"model": NAME, "messages": [{"role": "user", "content": "x"}], "tools": TOOLS, "tool_choice": choice}
    status, data = post(engine.socket, "/v1/chat/completions", body | {"max_tokens": 1})
    assert status == 400
    assert b"--tool-call-parser" in data


@pytest.mark.asyncio
async def test_media_for_a_model_that_sees_nothing_are_refused_by_gateway_or_vllm(tmp_path, calling):
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": GIF}}]}]
    (tmp_path / "on").mkdir()
    (tmp_path / "off").mkdir()
    async with gateway(tmp_path / "off", models=calling.models, limits=LIMITS, kind="vllm") as running:
        assert (await running.chat(model=NAME, messages=image)).error["code"] == "unsupported_parameter"
    async with gateway(tmp_path / "on", models=calling.models, limits=LIMITS, kind="vllm,media") as running:
        answer = await running.chat(model=NAME, messages=image)
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
