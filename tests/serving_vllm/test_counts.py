"""What vLLM's own figures say of who has left, and of whose prompts are found in its cache.

It is started so that it tells them; times would say the same, on a machine that nobody else uses.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace

import pytest

from serving.gateway.limits import Limits
from tests.serving.access.issuing import by_tokens, token
from tests.serving.engines.asking import ask
from tests.serving.gateway.running import gateway
from tests.serving_vllm.conftest import NAME, begin, end

pytestmark = pytest.mark.asyncio
LIMITS = replace(Limits(), probe_pause_seconds=0.1)
# Against the model's tokens for the end, so that only its length ends it: minutes on a CPU.
LONG = {"model": NAME, "max_tokens": 1900, "temperature": 0, "logit_bias": {"0": -100, "2": -100}}
LETTER = " ".join(f"In the year {year} nothing much happened." for year in range(1800, 1900))
SECONDS = 300  # before a test is given up; none is measured by it


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """An engine that keeps beginnings of prompts, and tells what it does."""
    running = begin(tmp_path_factory.mktemp("n"), module="tests.serving_vllm.counting", prefix_caching=True)
    yield running
    end(running)


async def figure(engine, name):
    """Return a figure of vLLM's, the sum over its labels."""
    status, page = await asyncio.to_thread(ask, engine.socket, "GET", "/metrics")
    assert status == 200
    found = re.findall(rf"^vllm:{name}\{{.*\}} (\S+)$", page.decode(), re.MULTILINE)
    assert found, f"vLLM does not tell {name}"
    return sum(map(float, found))


async def until(engine, name, wanted):
    async with asyncio.timeout(SECONDS):
        while not wanted(await figure(engine, name)):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("shaping", [False, True], ids=["as it comes", "shaped"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_vllm_stops_working_on_an_answer_whose_reader_has_left(tmp_path, counting, stream, shaping):
    """An answer that ends by itself is counted as one that succeeded; one that is given up is not."""
    async with gateway(tmp_path, models=counting.models, limits=LIMITS, kind="vllm", shaping=shaping) as running:
        await until(counting, "num_requests_running", lambda number: number == 0)
        written, ended = [await figure(counting, name) for name in ("generation_tokens_total", "request_success_total")]
        asking = asyncio.create_task(running.chat(**LONG, stream=stream))
        await until(counting, "generation_tokens_total", lambda number: number > written + 10)
        assert await figure(counting, "num_requests_running") == 1
        asking.cancel()
        await asyncio.wait({asking})
        await until(counting, "num_requests_running", lambda number: number == 0)
        assert await figure(counting, "request_success_total") == ended, "it was written to its end, for nobody"
        assert (await running.chat(model=NAME, max_tokens=1)).status == 200
        assert await figure(counting, "request_success_total") == ended + 1, "the control: this one ended by itself"


def of(subject, number):
    """A token of this minute's, the subject's so-and-so-many-th."""
    now = int(time.time())
    names = {"subject": subject * 22, "token_id": f"{subject}{number}".ljust(22, "x")}
    return token(issued_at=now, expires_at=now + 600, **names)


async def found(running, route, text=None):
    """Ask about a long letter; return how many tokens of it vLLM had in its cache, and how many there are."""
    fields = {"messages": [{"role": "user", "content": LETTER}]} if "chat" in route else {"prompt": LETTER}
    headers = {"authorization": f"Bearer {text}"} if text else {}
    answer = await running.ask("POST", route, json={"model": NAME, "max_tokens": 1, **fields}, headers=headers)
    assert answer.status == 200
    usage = answer.json["usage"]
    return (usage["prompt_tokens_details"] or {"cached_tokens": 0})["cached_tokens"], usage["prompt_tokens"]


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions"])
async def test_a_subject_finds_his_own_prompt_in_the_cache_and_nobody_elses(tmp_path, counting, route):
    access = by_tokens(tmp_path, built=1_600_000_000)
    async with gateway(tmp_path, models=counting.models, limits=LIMITS, kind="vllm", access=access) as running:
        cached = []
        for subject, number in (("a", 1), ("a", 1), ("a", 2), ("b", 1), ("b", 1)):
            tokens, length = await found(running, route, of(subject, number))
            cached.append(tokens > length / 2)
            assert tokens > length / 2 or tokens == 0
        assert cached == [False, True, True, False, True], "his own, also with a renewed token; not another's"


async def test_without_tokens_nobody_finds_a_prompt_in_the_cache(tmp_path, counting):
    async with gateway(tmp_path, models=counting.models, limits=LIMITS, kind="vllm") as running:
        assert [(await found(running, "/v1/completions"))[0] for _ in range(2)] == [0, 0]
