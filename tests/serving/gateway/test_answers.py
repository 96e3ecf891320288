"""Chat and completions through the real gateway, and everything that an engine can do wrong."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from serving.engines.vllm_rules import ENVIRONMENT
from serving.gateway.features import FEATURES
from serving.gateway.limits import Limits
from tests.serving.gateway.fake_engine import TOKENS
from tests.serving.gateway.running import LIMITS, MODEL, gateway

pytestmark = pytest.mark.asyncio
TEXT = "".join(TOKENS)


def events(body):
    parts = body.decode().split("\n\n")
    assert parts.pop() == ""
    return [part.removeprefix("data: ") for part in parts]


async def test_a_chat_is_answered(tmp_path):
    async with gateway(tmp_path) as running:
        answer = await running.chat(temperature=0)
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"] == TEXT
        path, body, _ = running.engine.seen.requests[-1]
        assert path == "/v1/chat/completions"
        assert body["temperature"] == 0


async def test_an_engine_that_closes_an_idle_connection_costs_no_answer(tmp_path):
    async with gateway(tmp_path) as running:
        running.engine.impatient = True
        assert [(await running.chat(stream=stream)).status for stream in (False, True, False)] == [200, 200, 200]


async def test_vllm_is_asked_again_over_a_connection_that_it_is_told_to_keep(tmp_path):
    async with gateway(tmp_path, kind="vllm") as running:
        assert [(await running.chat(stream=stream)).status for stream in (False, True, False)] == [200, 200, 200]
        assert (len(running.engine.seen.requests), running.engine.seen.connections) == (4, 1)


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_hangs_up_behind_a_refusal_costs_the_next_caller_nothing(tmp_path, kind, stream):
    """vLLM's server does so where what was wrong is found in its depths, and does not say that it will."""
    async with gateway(tmp_path, kind=kind) as running:
        running.engine.impatient, running.engine.fault.kind = True, "refuse"
        assert (await running.chat(stream=stream)).status == 400
        running.engine.impatient, running.engine.fault.kind = False, "answer"
        assert (await running.chat(stream=stream)).status == 200


async def test_llama_cpp_gives_no_thread_to_a_connection_that_asks_nothing(tmp_path):
    async with gateway(tmp_path) as running:
        assert [(await running.chat(stream=stream)).status for stream in (False, True, False)] == [200, 200, 200]
        assert (len(running.engine.seen.requests), running.engine.seen.connections) == (4, 4)


async def test_a_kept_connection_is_not_used_when_the_engine_may_be_about_to_close_it(tmp_path):
    async with gateway(tmp_path, kind="vllm", limits=replace(LIMITS, engine_idle_seconds=0.2)) as running:
        assert (await running.chat()).status == 200
        used = running.engine.seen.connections
        await asyncio.sleep(0.5)
        assert (await running.chat()).status == 200
        assert running.engine.seen.connections == used + 1


async def test_vllm_closes_no_connection_that_the_gateway_may_still_use():
    (seconds,) = ENVIRONMENT["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"].words
    assert float(seconds) >= Limits().engine_idle_seconds + 60


async def test_an_answer_that_is_left_half_read_ends_its_connection(tmp_path):
    """Else the next caller's answer would begin with the rest of it."""
    async with gateway(tmp_path, kind="vllm") as running:
        await running.left_half_read()
        running.engine.fault.kind = "answer"
        answer = await running.chat()
        assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, TEXT)


async def test_an_engine_that_dies_with_kept_connections_is_gone_for_one_request_at_most(tmp_path):
    async with gateway(tmp_path, kind="vllm") as running:
        assert {answer.status for answer in await asyncio.gather(*(running.chat() for _ in range(8)))} == {200}
        await running.engine.stop()
        (tmp_path / "engine.sock").unlink(missing_ok=True)
        await running.engine.start()
        assert (await running.chat()).status in {200, 503}
        await running.until_ready()
        assert {answer.status for answer in await asyncio.gather(*(running.chat() for _ in range(8)))} == {200}


async def test_one_model_is_described_and_no_other(tmp_path):
    async with gateway(tmp_path) as running:
        assert (await running.ask("GET", f"/v1/models/{MODEL}")).json["id"] == MODEL
        other = await running.ask("GET", "/v1/models/gpt-5")
        assert (other.status, other.json["error"]["code"]) == (404, "model_not_found")


async def test_bodies_that_are_held_back_do_not_fill_the_memory(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, bodies_bytes=100_000)) as running:
        held = [await running.raw() for _ in range(2)]
        head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\n"
        for _, writer in held:
            writer.write(head + b" " * 60_000)
        async with asyncio.timeout(10):
            done, waiting = await asyncio.wait(
                [asyncio.create_task(reader.readuntil(b"\r\n")) for reader, _ in held],
                return_when=asyncio.FIRST_COMPLETED,
            )
        assert {task.result() for task in done} == {b"HTTP/1.1 429 Too Many Requests\r\n"}
        assert len(waiting) == 1
        for task in waiting:
            task.cancel()
        for _, writer in held:
            writer.close()
        assert (await running.chat()).status == 200


async def test_a_chat_is_streamed_event_by_event(tmp_path):
    async with gateway(tmp_path) as running:
        answer = await running.chat(stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        *tokens, last = events(answer.body)
        assert last == "[DONE]"
        assert [json.loads(token)["choices"][0]["delta"]["content"] for token in tokens] == TOKENS


async def test_a_stream_is_not_held_back(tmp_path):
    async with gateway(tmp_path) as running:
        running.engine.flowing.clear()
        reader, writer = await running.begun(stream=True)
        async with asyncio.timeout(60):
            for token in TOKENS:  # each comes while the engine has not written the next one
                await reader.readuntil(json.dumps(token).encode())
                running.engine.flowing.set()
                running.engine.flowing.clear()
            await reader.readuntil(b"[DONE]")
        writer.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_is_answered(tmp_path, stream):
    async with gateway(tmp_path) as running:
        answer = await running.ask(
            "POST", "/v1/completions", json={"model": MODEL, "prompt": "Paris", "stream": stream}
        )
        assert answer.status == 200
        assert b"Paris" in answer.body


async def test_models_names_the_one_model_and_asks_nobody(tmp_path):
    async with gateway(tmp_path) as running:
        before = len(running.engine.seen.requests)
        answer = await running.ask("GET", "/v1/models")
        assert [model["id"] for model in answer.json["data"]] == [MODEL]
        assert len(running.engine.seen.requests) == before


async def test_the_probe_asks_for_at_most_two_tokens(tmp_path):
    async with gateway(tmp_path) as running:
        _, body, _ = running.engine.seen.requests[0]
        assert body["max_tokens"] <= 2


@pytest.mark.parametrize("fault", ["loading", "no_tokens", "broken", "html", "hang_up", "no_http", "silence"])
async def test_until_the_probe_is_answered_chat_is_503_and_the_rest_answers(tmp_path, fault):
    async with gateway(tmp_path, ready=False) as running:
        running.engine.fault.kind = fault
        await asyncio.sleep(0.1)
        answer = await running.chat()
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.error["code"] == "engine_loading"
        assert (await running.ask("GET", "/healthz")).json == {"status": "ok", "engine": "loading"}
        assert (await running.ask("GET", "/v1/models")).status == 200
        running.engine.fault.kind = "answer"
        await running.until_ready()
        assert (await running.chat()).status == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("refuse", 400, "invalid_value"),
        ("too_long", 400, "context_length_exceeded"),
        ("too_long_for_vllm", 400, "context_length_exceeded"),
        ("broken", 502, "engine_error"),
        ("redirect", 502, "engine_error"),
        ("html", 502, "engine_error"),
        ("list_instead", 502, "engine_error"),
        ("no_http", 502, "engine_error"),
        ("hang_up", 502, "engine_error"),
        ("loading", 503, "engine_loading"),
        ("silence", 504, "engine_error"),
        ("endless_answer", 502, "engine_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_fails_gives_openais_error(tmp_path, fault, status, code, stream):
    limits = replace(LIMITS, engine_silence_seconds=0.5)
    async with gateway(tmp_path, limits=limits) as running:
        running.engine.fault.kind = fault
        answer = await running.chat(stream=stream)
        assert (answer.status, answer.error["code"]) == (status, code)
        assert "deadbeef" not in answer.body.decode()
        running.engine.fault.kind = "answer"
        await running.until_ready()
        assert (await running.chat(stream=stream)).status == 200


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "a moment later"])
@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_engine_says_behind_an_answer_is_in_nobodys(tmp_path, kind, stream, pause):
    """Where a connection to an engine is kept, the next request on it may be another caller's."""
    async with gateway(tmp_path, kind=kind) as running:
        running.engine.fault.kind, running.engine.token_pause = "says_more", pause
        for _ in range(4):
            answer = await running.chat(stream=stream)
            assert b"of another" not in answer.body
            assert answer.status == 200
            await asyncio.sleep(4 * pause)
        running.engine.fault.kind = "answer"
        assert (await running.chat()).json["choices"][0]["message"]["content"] == TEXT


@pytest.mark.parametrize("fault", ["crash_in_stream", "stop_in_stream", "silence_in_stream", "error_in_stream"])
async def test_a_stream_that_breaks_off_ends_with_an_error_event(tmp_path, fault):
    async with gateway(tmp_path, limits=replace(LIMITS, engine_silence_seconds=0.5)) as running:
        running.engine.fault.kind = fault
        answer = await running.chat(stream=True)
        assert answer.status == 200
        found = [event for event in events(answer.body) if not event.startswith(":")]
        parsed = [json.loads(event) for event in found]
        assert parsed[-1]["error"]["type"] == "server_error"
        assert "[DONE]" not in found
        assert b"deadbeef" not in answer.body


async def test_an_endless_event_is_cut_off(tmp_path):
    async with gateway(tmp_path) as running:
        running.engine.fault.kind = "endless_event"
        answer = await running.chat(stream=True)
        assert (answer.status, answer.error["code"]) == (502, "engine_error")


async def test_an_engine_that_is_gone_gives_503_and_comes_back(tmp_path):
    async with gateway(tmp_path) as running:
        await running.engine.stop()
        answer = await running.chat()
        assert (answer.status, answer.error["code"]) in {(503, "engine_loading"), (502, "engine_error")}
        await running.until_ready("loading")
        assert (await running.chat()).status == 503
        (tmp_path / "engine.sock").unlink(missing_ok=True)
        await running.engine.start()
        await running.until_ready()
        assert (await running.chat()).status == 200


async def test_a_client_that_leaves_cancels_the_engines_work(tmp_path):
    async with gateway(tmp_path) as running:
        await running.left_half_read()
        assert running.engine.seen.streaming == 0


async def test_a_client_that_leaves_while_waiting_closes_the_engines_connection(tmp_path):
    async with gateway(tmp_path) as running:
        running.engine.fault.kind = "silence"
        _, writer = await running.begun()
        async with asyncio.timeout(60):
            while len(running.engine.seen.requests) < 2:
                await asyncio.sleep(0.02)
        (open_one,) = [reader for _, reader, _ in running.engine.connections.values() if not reader.at_eof()]
        writer.transport.abort()
        async with asyncio.timeout(60):
            while not open_one.at_eof():
                await asyncio.sleep(0.02)


async def test_a_client_that_reads_nothing_is_dropped(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, client_stall_seconds=0.3)) as running:
        running.engine.fault.kind, running.engine.tokens = "long_stream", ["x" * 20_000]  # no buffer holds all of it
        _, writer = await running.begun(stream=True)
        writer.transport.pause_reading()
        async with asyncio.timeout(10):
            while running.engine.seen.cancelled == 0:
                await asyncio.sleep(0.02)
        assert running.engine.seen.streaming == 0
        writer.transport.abort()
        running.engine.fault.kind, running.engine.tokens = "answer", TOKENS
        assert (await running.chat()).json["choices"][0]["message"]["content"] == TEXT


async def test_too_many_requests_at_once_are_told_to_wait(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, requests=2, engine_silence_seconds=3)) as running:
        running.engine.fault.kind = "silence"
        waiting = [asyncio.create_task(running.chat()) for _ in range(2)]
        async with asyncio.timeout(60):
            while len(running.engine.seen.requests) < 3:
                await asyncio.sleep(0.02)
        answer = await running.chat()
        assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
        assert "retry-after" in answer.headers
        assert {(await task).status for task in waiting} == {504}
