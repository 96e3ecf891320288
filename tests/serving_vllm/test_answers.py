"""Answers of vLLM through the real gateway: right ones, streamed ones, refused ones."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from serving.gateway.limits import Limits
from tests.serving.gateway.running import gateway
from tests.serving_vllm.conftest import ADAPTER, NAME

pytestmark = pytest.mark.asyncio
LIMITS = replace(Limits(), probe_pause_seconds=0.1)
FRANCE = {"model": NAME, "prompt": "The capital of France is", "temperature": 0}


def served(tmp_path, engine):
    return gateway(tmp_path, models={NAME: engine.socket, ADAPTER: engine.socket}, limits=LIMITS, kind="vllm")


async def complete(running, **fields):
    return await running.ask("POST", "/v1/completions", json=FRANCE | fields)


async def test_the_golden_answer_with_its_margin(tmp_path, engine):
    """In float32 without compiled kernels: " Paris" leads by far, so no rounding turns it."""
    async with served(tmp_path, engine) as running:
        answer = (await complete(running, max_tokens=1, logprobs=2)).json
        assert answer["choices"][0]["text"] == " Paris"
        (best,) = answer["choices"][0]["logprobs"]["top_logprobs"]
        assert best.pop(" Paris") > max(best.values()) + 1
        assert answer["usage"] | {"prompt_tokens": 5, "completion_tokens": 1} == answer["usage"]


async def test_a_chat_is_answered_and_streamed_alike(tmp_path, engine):
    async with served(tmp_path, engine) as running:
        fields = {"model": NAME, "temperature": 0, "max_tokens": 8, "seed": 1}
        whole = (await running.chat(**fields)).json["choices"][0]["message"]["content"]
        streamed = await running.chat(**fields, stream=True, stream_options={"include_usage": True})
        lines = [line.removeprefix("data: ") for line in streamed.body.decode().split("\n\n") if line]
        assert lines.pop() == "[DONE]"
        parts = [json.loads(line) for line in lines]
        assert "".join(p["choices"][0]["delta"].get("content") or "" for p in parts if p["choices"]) == whole
        assert parts[-1]["usage"]["completion_tokens"] == 8


async def test_eight_at_once_get_their_own_answers(tmp_path, engine):
    words = ["France", "Japan", "Italy", "Spain", "Egypt", "Peru", "Kenya", "Norway"]
    async with served(tmp_path, engine) as running:
        prompts = [f"The capital of {word} is" for word in words]
        alone = [(await complete(running, prompt=prompt, max_tokens=2)).json for prompt in prompts]
        together = await asyncio.gather(*(complete(running, prompt=prompt, max_tokens=2) for prompt in prompts))
        texts = [answer["choices"][0]["text"] for answer in alone]
        assert [answer.json["choices"][0]["text"] for answer in together] == texts
        assert len({*texts}) > 4


async def test_an_adapter_is_a_model_of_its_own(tmp_path, engine):
    async with served(tmp_path, engine) as running:
        texts = [
            (await complete(running, model=name, max_tokens=8)).json["choices"][0]["text"] for name in (NAME, ADAPTER)
        ]
        assert texts[0] != texts[1]
        assert texts[0].startswith(" Paris")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_over_the_context_is_openais_error(tmp_path, engine, stream):
    async with served(tmp_path, engine) as running:
        answer = await running.chat(model=NAME, messages=[{"role": "user", "content": "word " * 3000}], stream=stream)
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")


async def test_what_the_engine_refuses_is_openais_error(tmp_path, engine):
    async with served(tmp_path, engine) as running:
        answer = await complete(running, top_p=7)
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
