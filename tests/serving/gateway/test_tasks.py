"""What a model is for: which question shows that it works, and which routes are refused."""

from __future__ import annotations

import math

import pytest

from serving.errors import EngineError
from serving.task import probe, require_answer
from tests.serving.gateway.running import MODEL, gateway

TOKEN = {"choices": [{"text": "x"}], "usage": {"completion_tokens": 1}}
EMBEDDING = {"data": [{"embedding": [0.5, 0]}]}


def test_each_task_has_its_answer():
    require_answer("generate", TOKEN)
    require_answer("embed", EMBEDDING)
    assert probe("generate")[0] == "/v1/completions"
    assert probe("embed")[0] == "/v1/embeddings"


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("generate", EMBEDDING),
        ("generate", TOKEN | {"choices": []}),
        ("generate", TOKEN | {"usage": {"completion_tokens": 0}}),
        ("generate", TOKEN | {"usage": {"completion_tokens": 3}}),
        ("generate", TOKEN | {"usage": {"completion_tokens": True}}),
        ("generate", TOKEN | {"usage": {"completion_tokens": "1"}}),
        ("generate", TOKEN | {"usage": None}),
        ("embed", TOKEN),
        ("embed", {"data": []}),
        ("embed", {"data": {}}),
        ("embed", {"data": ["x"]}),
        *(("embed", {"data": [{"embedding": wrong}]}) for wrong in ([], [0.0, 0], [math.nan], [math.inf, 1])),
        *(
            ("embed", {"data": [{"embedding": wrong}]})
            for wrong in (None, "tNJJvP91", [None], [True], [[0.5]], {"a": 1})
        ),
        *((task, value) for task in ("generate", "embed") for value in ([], None, "x", 5, {"error": {}})),
    ],
)
def test_what_is_no_answer_of_a_model_that_works(task, value):
    with pytest.raises(EngineError):
        require_answer(task, value)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["llamacpp,embed", "vllm,embed"])
async def test_a_model_for_embeddings_is_ready_when_it_gave_one_and_does_nothing_else(tmp_path, kind):
    async with gateway(tmp_path, kind=kind) as running:
        assert {path for path, _, _ in running.engine.seen.requests} == {"/v1/embeddings"}
        answer = await running.ask("POST", "/v1/embeddings", json={"model": MODEL, "input": "x"})
        assert answer.json["data"][0]["embedding"] == [0.5, -0.5]
        response = await running.ask("POST", "/v1/responses", json={"model": MODEL, "input": "x"})
        completion = await running.ask("POST", "/v1/completions", json={"model": MODEL, "prompt": "x"})
        for refused in (await running.chat(), completion, response):
            assert (refused.status, refused.error["code"]) == (400, "unsupported_operation")
        assert len(running.engine.seen.requests) == 2


@pytest.mark.asyncio
async def test_a_model_that_generates_is_not_asked_for_embeddings(tmp_path):
    async with gateway(tmp_path) as running:
        answer = await running.ask("POST", "/v1/embeddings", json={"model": MODEL, "input": "x"})
        assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")
        assert [path for path, _, _ in running.engine.seen.requests] == ["/v1/completions"]


@pytest.mark.asyncio
async def test_a_model_whose_embeddings_are_nothing_is_never_ready(tmp_path):
    async with gateway(tmp_path, kind="llamacpp,embed", ready=False) as running:
        running.engine.fault.kind, running.engine.numbers = "answer", [0.0, 0.0]
        while len(running.engine.seen.requests) < 5:
            assert (await running.ask("GET", "/healthz")).json["engine"] == "loading"
        running.engine.numbers = [0.5]
        await running.until_ready()


@pytest.mark.asyncio
async def test_a_text_that_is_too_long_to_embed_is_the_callers_error_though_llamacpp_says_500(tmp_path):
    async with gateway(tmp_path, kind="llamacpp,embed") as running:
        running.engine.fault.kind = "too_long_to_embed"
        answer = await running.ask("POST", "/v1/embeddings", json={"model": MODEL, "input": "x"})
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
        running.engine.fault.kind = "broken"
        answer = await running.ask("POST", "/v1/embeddings", json={"model": MODEL, "input": "x"})
        assert (answer.status, answer.error["code"]) == (502, "engine_error")
