"""Bytes that are no text and JSON without a bottom, from a caller or an engine: an error, and the next is served."""

from __future__ import annotations

import io
import json

import pytest

from tests.serving.gateway.running import MODEL, gateway

pytestmark = pytest.mark.asyncio
ROUTES = ["chat/completions", "completions", "responses", "embeddings", "tokenize", "detokenize"]
BODIES = {
    "no UTF-8": b'{"model":"' + MODEL.encode() + b'","prompt":"\xff\xfe"}',
    "UTF-8 of half a pair": b'{"model":"x","prompt":"\xed\xa0\x80"}',
    "overlong UTF-8": b'{"model":"x","prompt":"\xc0\xaf"}',
    "UTF-8 that breaks off": b'{"model":"x","prompt":"\xe2\x82"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"model":"x"}'.encode("utf-16"),
    "zero bytes": bytes(1000),
    "lists without a bottom": b"[" * 1_000_000,
    "objects without a bottom": b'{"a":' * 500_000,
    "lists in a field, as deep as they are closed": b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("route", ROUTES)
async def test_a_body_that_is_no_text_or_has_no_bottom_is_400_and_reaches_no_engine(tmp_path, route):
    async with gateway(tmp_path) as running:
        before = len(running.engine.seen.requests)
        for name, body in BODIES.items():
            answer = await running.ask("POST", f"/v1/{route}", data=io.BytesIO(body))
            assert (answer.status, answer.error["code"]) == (400, "invalid_json"), name
        assert len(running.engine.seen.requests) == before
        await running.answers_another()


@pytest.mark.parametrize("path", ["/v1/models/%ff%fe", "/v1/models/%00", "/v1/models/%ed%a0%80", "/%c0%af"])
async def test_a_path_that_is_no_text_is_404(tmp_path, path):
    async with gateway(tmp_path) as running:
        reader, writer = await running.raw()
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert b" 404 " in await reader.readline()
        writer.close()
        await running.answers_another()


@pytest.mark.parametrize("fault", ["no_utf8", "deep_json", "deep_usage", "half_a_pair"])
@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_answers_so_is_an_error_of_the_engines(tmp_path, fault, path, stream):
    body = {"model": MODEL, "stream": stream}
    body |= {"input": "x"} if path == "responses" else {"messages": [{"role": "user", "content": "x"}]}
    async with gateway(tmp_path) as running:
        running.engine.fault.kind = fault
        answer = await running.ask("POST", f"/v1/{path}", json=body)
        if fault == "half_a_pair" and not stream and path != "responses":
            assert answer.status == 200  # it is JSON, if not text
        elif answer.status == 200:  # the stream had begun
            last = answer.body.strip().split(b"\n\n")[-1]
            assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "engine_error"
        else:
            assert (answer.status, answer.error["code"]) == (502, "engine_error")
        running.engine.fault.kind = "answer"
        await running.until_ready()
        await running.answers_another()
