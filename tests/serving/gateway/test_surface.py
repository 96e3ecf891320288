"""Every route through the real gateway: answered, refused where the engine cannot, cancelled when the client leaves."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.serving.gateway.fake_engine import TOKENS
from tests.serving.gateway.running import LIMITS, MODEL, gateway

pytestmark = pytest.mark.asyncio
SECRET = "xyzzy-plugh"
ASKED = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/tokenize": {"prompt": "hi"},
    "/v1/detokenize": {"tokens": [1, 2]},
}
SPEAKING = list(ASKED)[:3]


def body(path, **fields):
    return {"model": MODEL, **ASKED[path], **fields}


def kind(path):
    return "llamacpp,embed" if path == "/v1/embeddings" else "llamacpp"


@pytest.mark.parametrize("shaping", [False, True])
@pytest.mark.parametrize("path", ASKED)
async def test_every_route_is_answered(tmp_path, path, shaping):
    async with gateway(tmp_path, shaping=shaping, kind=kind(path)) as running:
        answer = await running.ask("POST", path, json=body(path))
        assert answer.status == 200
        assert answer.json["object"]


@pytest.mark.parametrize("shaping", [False, True])
@pytest.mark.parametrize("path", SPEAKING)
async def test_every_speaking_route_streams(tmp_path, path, shaping):
    async with gateway(tmp_path, shaping=shaping) as running:
        answer = await running.ask("POST", path, json=body(path, stream=True))
        events = [e for e in answer.body.decode().split("\n\n") if e and not e.startswith(":")]
        assert all(json.dumps(token)[1:-1] in answer.body.decode() for token in TOKENS)
        assert events[-1].startswith(("data: [DONE]", "event: response.completed"))


@pytest.mark.parametrize("fault", ["without", "absent"])
@pytest.mark.parametrize("path", ASKED)
async def test_a_route_that_the_engine_lacks_is_refused_in_openais_words(tmp_path, path, fault):
    async with gateway(tmp_path, kind=kind(path)) as running:
        running.engine.fault.kind = fault
        answer = await running.ask("POST", path, json=body(path))
        assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")
        assert "--embeddings" not in answer.body.decode()


@pytest.mark.parametrize("shaping", [False, True])
@pytest.mark.parametrize("path", ASKED)
async def test_a_client_that_leaves_a_waiting_request_closes_the_engines_connection(tmp_path, path, shaping):
    async with gateway(tmp_path, shaping=shaping, kind=kind(path)) as running:
        running.engine.fault.kind = "silence"
        await leave(running, body(path), path)


@pytest.mark.parametrize("shaping", [False, True])
@pytest.mark.parametrize("path", SPEAKING)
async def test_a_client_that_leaves_a_stream_cancels_the_engines_work(tmp_path, path, shaping):
    async with gateway(tmp_path, shaping=shaping) as running:
        running.engine.fault.kind, running.engine.token_pause = "long_stream", 0.01
        await leave(running, body(path, stream=True), path, until=b"Paris")
        async with asyncio.timeout(60):
            while running.engine.seen.cancelled == 0:
                await asyncio.sleep(0.02)


async def leave(running, fields, path, *, until=None):
    """Send a request, leave in the middle, and wait until the engine's connection is closed."""
    before = len(running.engine.seen.requests)
    reader, writer = await running.raw()
    data = json.dumps(fields).encode()
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
    async with asyncio.timeout(60):
        while len(running.engine.seen.requests) == before:
            await asyncio.sleep(0.02)
        (channel,) = [reader for _, reader, _ in running.engine.connections.values() if not reader.at_eof()]
        if until:
            await reader.readuntil(until)
        writer.transport.abort()
        while not channel.at_eof() and running.engine.connections:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", ["refuse", "too_long", "broken", "html", "hang_up", "silence", "list_instead"])
@pytest.mark.parametrize("stream", [False, True])
async def test_shaped_failures_are_openais_errors(tmp_path, fault, stream):
    async with gateway(tmp_path, shaping=True, limits=replace(LIMITS, engine_silence_seconds=0.3)) as running:
        running.engine.fault.kind = fault
        answer = await running.chat(stream=stream)
        assert answer.status in {400, 502, 504}
        assert answer.error["message"]
        assert len(answer.body) == 4096


@pytest.mark.parametrize("fault", ["stop_in_stream", "silence_in_stream", "crash_in_stream"])
async def test_a_shaped_stream_that_breaks_off_ends_with_an_error_event(tmp_path, fault):
    async with gateway(tmp_path, shaping=True, limits=replace(LIMITS, engine_silence_seconds=0.7)) as running:
        running.engine.fault.kind, running.engine.token_pause = fault, 0.5
        answer = await running.chat(stream=True)
        events = [e for e in answer.body.decode().split("\n\n") if e and not e.startswith(":")]
        assert (answer.status, "error" in json.loads(events[-1].removeprefix("data: "))) == (200, True)
        assert "[DONE]" not in answer.body.decode()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("DELETE", "/v1/models", 405), ("POST", "/v1/completions", 400)],
)
async def test_a_shaped_refusal_is_as_long_as_any_other(tmp_path, method, path, status):
    async with gateway(tmp_path, shaping=True) as running:
        answer = await running.ask(method, path)
        assert (answer.status, len(answer.body)) == (status, 4096)
        assert answer.error["code"]


async def test_a_fault_of_the_gateway_says_the_same_whatever_was_asked(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("serving.gateway.app.chat_request", broken)
    found = set()
    async with gateway(tmp_path) as running:
        for text in (SECRET, "something else"):
            answer = await running.chat(messages=[{"role": "user", "content": text}])
            found.add((answer.status, answer.body))
    ((status, told),) = found
    assert status == 500
    assert SECRET.encode() not in told


async def test_errors_of_callers_at_once_hold_nothing_of_each_others(tmp_path):
    words = [f"{SECRET}-{i}" for i in range(24)]
    faults = ["refuse", "broken", "too_long", "html", "crash_in_stream"]
    async with gateway(tmp_path) as running:

        async def ask(i, word):
            fields = {"messages": [{"role": "user", "content": word}], "stream": i % 2 == 0}
            if i % 3 == 0:
                fields[word] = word
            return await running.chat(**fields)

        for fault in faults:
            running.engine.fault.kind = fault
            answers = await asyncio.gather(*(ask(i, word) for i, word in enumerate(words)))
            for answer in answers:
                assert SECRET not in answer.body.decode()
            running.engine.fault.kind = "answer"
            await running.until_ready()


async def test_an_engine_that_knows_salts_gets_another_in_each_request_of_nobody(tmp_path):
    async with gateway(tmp_path, kind="vllm") as running:
        for path in SPEAKING * 2:
            assert (await running.ask("POST", path, json=body(path))).status == 200
        salts = [asked["cache_salt"] for _, asked, _ in running.engine.seen.requests[1:]]
        assert len(set(salts)) == 6
        assert all(len(salt) == 64 for salt in salts)
