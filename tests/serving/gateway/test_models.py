"""Several engines behind one gateway: who is asked for which model, and how the end of one is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from pathlib import Path

import pytest

from serving.gateway.__main__ import Served, read_config
from tests.serving.gateway.fake_engine import FakeEngine
from tests.serving.gateway.running import MODEL, gateway

OTHER, ADAPTER = "other", "other-tuned"
FIXED = ["--host", "h", "--port", "1", "--tls", "t", "--attester", "a", "--no-shaping", "--no-metrics"]
FIXED += ["--requests", "64", "--access", "open", "--issuers", "/i", "--built", "/b", "--audience=", "--issued-after="]


@contextlib.asynccontextmanager
async def two(folder):
    """A gateway with the fake engine, a second one with an adapter, and that second one."""
    second = FakeEngine(folder / "other.sock")
    await second.start()
    models = {MODEL: folder / "engine.sock", OTHER: folder / "other.sock", ADAPTER: folder / "other.sock"}
    try:
        async with gateway(folder, models=models) as running:
            yield running, second
    finally:
        await second.stop()


def asked(engine):
    return [body["model"] for _, body, _ in engine.seen.requests if "model" in body]


@pytest.mark.asyncio
async def test_each_model_is_asked_of_its_own_engine(tmp_path):
    async with two(tmp_path) as (running, second):
        for name in (MODEL, OTHER, ADAPTER):
            assert (await running.chat(model=name)).status == 200
        assert (asked(running.engine), asked(second)) == ([MODEL], [OTHER, ADAPTER])
        listed = (await running.ask("GET", "/v1/models")).json["data"]
        assert [model["id"] for model in listed] == [MODEL, OTHER, ADAPTER]
        assert (await running.ask("GET", f"/v1/models/{ADAPTER}")).json["id"] == ADAPTER


@pytest.mark.asyncio
async def test_an_adapter_is_another_name_for_one_engine_that_is_probed_once(tmp_path):
    async with two(tmp_path) as (_, second):
        assert len(second.seen.requests) == 1


@pytest.mark.asyncio
async def test_a_model_that_nobody_serves_reaches_no_engine(tmp_path):
    async with two(tmp_path) as (running, second):
        answer = await running.chat(model="gpt-5")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert asked(running.engine) + asked(second) == []


@pytest.mark.asyncio
async def test_a_dead_engine_takes_no_other_model_down(tmp_path):
    async with two(tmp_path) as (running, second):
        await second.stop()
        await running.until_ready("loading")
        for name in (OTHER, ADAPTER):
            assert (await running.chat(model=name)).error["code"] == "engine_loading"
        assert (await running.chat()).status == 200


@pytest.mark.asyncio
async def test_an_engine_that_dies_while_nobody_asks_is_noticed_within_a_second(tmp_path):
    async with gateway(tmp_path) as running:
        took = []
        for _ in range(5):
            began = time.monotonic()
            await running.engine.stop()
            await running.until_ready("loading")
            took.append(time.monotonic() - began)
            assert (await running.chat()).status == 503
            (tmp_path / "engine.sock").unlink(missing_ok=True)
            await running.engine.start()
            await running.until_ready()
        assert statistics.median(took) < 1


@pytest.mark.asyncio
async def test_an_engine_that_closes_idle_connections_is_not_taken_for_dead(tmp_path):
    async with gateway(tmp_path) as running:
        running.engine.hasty = True
        for writer in [*running.engine.idle.values()]:
            writer.transport.abort()
        probes = len(running.engine.seen.requests)
        for _ in range(20):
            await asyncio.sleep(0.02)
            assert (await running.ask("GET", "/healthz")).json["engine"] == "ready"
        assert len(running.engine.seen.requests) == probes


def test_models_and_sockets_are_read_in_their_order():
    config = read_config([*FIXED, "--model", "b=vllm:/run/b.sock", "--model", "a=llamacpp:/run/x=1:2.sock"], {})
    assert [*config.models.items()] == [
        ("b", Served("vllm", Path("/run/b.sock"))),
        ("a", Served("llamacpp", Path("/run/x=1:2.sock"))),
    ]


@pytest.mark.parametrize(
    "models",
    [
        [],
        ["--model", "a"],
        ["--model", "=vllm:/run/a"],
        ["--model", "a=vllm"],
        ["--model", "a=vllm:"],
        ["--model", "a=/run/a"],
        ["--model", "a=tgi:/run/a"],
        ["--model", "a=vllm:/x", "--model", "a=vllm:/y"],
    ],
    ids=["none", "a name", "no name", "no socket", "an empty socket", "no engine", "no such engine", "one name twice"],
)
def test_models_that_cannot_be_meant_are_refused(models):
    with pytest.raises(SystemExit) as caught:
        read_config([*FIXED, *models], {})
    assert caught.value.code == 2
