"""The door itself: TLS, routes, sizes and times."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import replace

import pytest

from tests.serving.gateway.running import LIMITS, MODEL, gateway

pytestmark = pytest.mark.asyncio


async def test_tls_1_2_is_refused(tmp_path):
    async with gateway(tmp_path) as running:
        running.context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await running.raw()
        running.context.maximum_version = ssl.TLSVersion.TLSv1_3
        _, writer = await running.raw()
        writer.close()


async def test_no_session_can_be_resumed(tmp_path):
    async with gateway(tmp_path) as running:
        reader, writer = await running.raw()
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"}")
        tls = writer.get_extra_info("ssl_object")
        assert tls.version() == "TLSv1.3"
        assert tls.session is None or not tls.session.has_ticket
        writer.close()


async def test_plain_http_gets_nothing(tmp_path):
    async with gateway(tmp_path) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()


NO_ROUTES = [
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/redoc"),
    ("GET", "/openapi.json"),
    ("GET", "/metrics"),
    ("GET", "/slots"),
    ("GET", "/props"),
    ("POST", "/completion"),
    ("POST", "/completions"),
    ("POST", "/infill"),
    ("POST", "/tokenize"),
    ("POST", "/apply-template"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/files"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/rerank"),
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/chat/completions/input_tokens"),
    ("GET", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("POST", "/detokenize"),
    ("POST", "/invocations"),
    ("POST", "/slots/0?action=save"),
    ("GET", "/v1/models/"),
    ("GET", "//v1/models"),
    ("GET", "/v1/../v1/models"),
    ("GET", "/V1/models"),
    ("POST", "/v1/chat/completions/"),
    ("GET", "/.well-known/"),
    ("GET", "/.well-known/attestation/"),
    ("GET", "/.well-known/security.txt"),
]


async def test_routes_that_are_not_on_the_list_do_not_exist(tmp_path):
    async with gateway(tmp_path) as running:
        before = len(running.engine.seen.requests)
        found = {}
        for method, path in NO_ROUTES:
            reader, writer = await running.raw()
            writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"location" not in head.lower()
            found[method, path] = int(head.split(b" ")[1])
            writer.close()
        assert found == dict.fromkeys(NO_ROUTES, 404)
        assert len(running.engine.seen.requests) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/healthz"),
        ("DELETE", "/v1/models"),
        ("HEAD", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("OPTIONS", "/v1/completions"),
    ],
)
async def test_other_methods_are_not_allowed(tmp_path, method, path):
    async with gateway(tmp_path) as running:
        answer = await running.ask(method, path)
        assert answer.status == 405
        assert method == "HEAD" or answer.error["type"] == "invalid_request_error"
        assert answer.headers["allow"] in {"GET", "POST"}


async def test_the_answer_names_no_software_and_no_time(tmp_path):
    async with gateway(tmp_path) as running:
        for answer in [await running.ask("GET", "/v1/models"), await running.chat(), await running.ask("GET", "/x")]:
            assert not {"server", "date", "x-powered-by", "via", "access-control-allow-origin"} & set(answer.headers)


@pytest.mark.parametrize("declared", [True, False])
async def test_a_huge_body_is_413_and_is_not_read(tmp_path, declared):
    async with gateway(tmp_path, limits=replace(LIMITS, body_bytes=100_000)) as running:
        reader, writer = await running.raw()
        head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n"
        if declared:
            writer.write(head + b"content-length: 100001\r\n\r\n")
        else:
            writer.write(head + b"transfer-encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 4)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.split(b" ")[1] == b"413"
        assert b"connection: close" in answer.lower()
        writer.transport.abort()


async def test_a_body_that_never_ends_is_given_up(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, body_seconds=0.3)) as running:
        reader, writer = await running.raw()
        writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1] == b"408"
        writer.transport.abort()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * 5_000,
    ],
    ids=["url", "header", "headers"],
)
async def test_an_endless_head_is_cut_off(tmp_path, head):
    async with gateway(tmp_path) as running:
        reader, writer = await running.raw()
        writer.write(head)
        try:
            answer = await reader.read(100)
        except (ConnectionError, ssl.SSLError):
            answer = b""
        assert b"200" not in answer
        writer.transport.abort()
        assert (await running.ask("GET", "/healthz")).status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nx: y\r\n"])
async def test_a_head_that_dribbles_is_given_up(tmp_path, sent):
    async with gateway(tmp_path, limits=replace(LIMITS, header_seconds=0.3)) as running:
        reader, writer = await running.raw()
        writer.write(sent)
        async with asyncio.timeout(3):
            try:
                assert await reader.read() == b""
            except ConnectionError:
                pass
        writer.transport.abort()


async def test_a_slow_head_does_not_end_a_later_request_of_the_same_connection(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, header_seconds=0.3)) as running:
        reader, writer = await running.raw()
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"200" in await reader.readuntil(b"}")
            await asyncio.sleep(0.25)
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"\x16\x03\x01 nonsense\r\n\r\n",
    ],
    ids=["length and chunks", "two lengths", "negative", "nonsense"],
)
async def test_a_request_with_two_readings_is_refused(tmp_path, sent):
    async with gateway(tmp_path) as running:
        before = len(running.engine.seen.requests)
        reader, writer = await running.raw()
        writer.write(sent)
        assert (await reader.readuntil(b"\r\n")).split(b" ")[1] == b"400"
        writer.transport.abort()
        assert len(running.engine.seen.requests) == before


async def test_nothing_that_the_client_sends_in_headers_reaches_the_engine(tmp_path):
    async with gateway(tmp_path) as running:
        headers = {"authorization": "Bearer SECRET", "cookie": "a=SECRET", "x-request-id": "SECRET"}
        body = {"model": MODEL, "prompt": "x", "user": "SECRET", "metadata": {"a": "SECRET"}}
        assert (await running.ask("POST", "/v1/completions", json=body, headers=headers)).status == 200
        _, sent, head = running.engine.seen.requests[-1]
        assert b"SECRET" not in head
        assert "SECRET" not in json.dumps(sent)


@pytest.mark.parametrize(
    "sent", [b"QUERY / HTTP/1.1\r\n\r\n", b"\x00\x01\r\n\r\n", b"GET / FTP/1.1\r\n\r\n", b"{}\r\n\r\n"]
)
async def test_what_is_no_http_is_told_so_in_the_form_of_every_error(tmp_path, sent):
    async with gateway(tmp_path) as running:
        reader, writer = await running.raw()
        writer.write(sent)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"]["code"] == "bad_request"
        writer.close()
