"""Requests that two readers would read differently: refused, or read once, as what was sent and nothing hidden in it.

A smuggled request needs a connection that several callers share: here TLS ends in the process that reads, and what an
engine gets is written anew. So what is left to lose is the sender's, and still it is not lost.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest

from tests.serving.gateway.fake_engine import TOKENS
from tests.serving.gateway.running import LIMITS, MODEL, gateway

pytestmark = pytest.mark.asyncio
BODY = {"model": MODEL, "prompt": "mine"}
DATA = json.dumps(BODY).encode()
SIZE, WHOLE = b"%d" % len(DATA), b"%x" % len(DATA)
POST, HOST, LENGTH = b"POST /v1/completions HTTP/1.1\r\n", b"host: x\r\n", b"content-length: " + SIZE + b"\r\n"
CODED = b"transfer-encoding: chunked\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
HIDDEN = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
TAKEN, CLOSED, REFUSED = ([200, 200], 1), ([200], 1), ([400], 0)


def post(*lines, line=POST, host=HOST, body=DATA):
    return line + host + b"".join(lines) + b"\r\n" + body


def chunked(*, size=WHOLE, data=DATA, end=b"\r\n", last=b"0\r\n\r\n"):
    return post(CODED, body=size + end + data + end + last)


TWO_READINGS = {
    "length and chunks": post(LENGTH, CODED, body=b"0\r\n\r\n" + HIDDEN),
    "chunks and length": post(CODED, b"content-length: 4\r\n", body=b"0\r\n\r\n" + HIDDEN),
    "two lengths that differ": post(LENGTH, b"content-length: 1\r\n"),
    "two lengths that agree": post(LENGTH, LENGTH),
    "a list of lengths": post(b"content-length: " + SIZE + b", " + SIZE + b"\r\n"),
    "a length with a sign": post(b"content-length: +" + SIZE + b"\r\n"),
    "a negative length": post(b"content-length: -1\r\n"),
    "a length in hex": post(b"content-length: 0x20\r\n"),
    "a length with a space in it": post(b"content-length: 3 4\r\n"),
    "an empty length": post(b"content-length:\r\n"),
    "a length beyond 64 bits": post(b"content-length: 18446744073709551617\r\n"),
    "an unknown coding": post(b"transfer-encoding: xchunked\r\n", body=HIDDEN),
    "no coding and a length": post(b"transfer-encoding: identity\r\n", LENGTH),
    "a coding before chunks": post(b"transfer-encoding: gzip, chunked\r\n", body=b"0\r\n\r\n"),
    "a coding behind chunks": post(b"transfer-encoding: chunked, identity\r\n", body=HIDDEN),
    "two codings": post(CODED, b"transfer-encoding: identity\r\n", body=HIDDEN),
    "chunks twice": post(CODED, CODED, body=b"0\r\n\r\n"),
    "a vertical tab before chunks": post(b"transfer-encoding: \x0bchunked\r\n", LENGTH),
    "a space before a coding's colon": post(b"transfer-encoding : chunked\r\n", body=b"0\r\n\r\n" + HIDDEN),
    "a space before a coding's colon, and a length": post(LENGTH, b"transfer-encoding : chunked\r\n"),
    "a space before a length's colon": post(b"content-length : " + SIZE + b"\r\n"),
    "a space in a name": post(b"x y: z\r\n", LENGTH),
    "a line without a colon": post(b"nonsense\r\n", LENGTH),
    "a line without a name": post(b": z\r\n", LENGTH),
    "a carriage return in a line": post(b"x: y\rcontent-length: 5\r\n", LENGTH),
    "a zero byte in a value": post(b"x: y\0z\r\n", LENGTH),
    "a zero byte in a name": post(b"x\0: y\r\n", LENGTH),
    "chunks in HTTP/1.0": chunked().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a chunk's size in C's hex": chunked(size=b"0x1"),
    "a chunk's size with a sign": chunked(size=b"+1"),
    "a negative chunk": chunked(size=b"-1"),
    "a chunk beyond 64 bits": chunked(size=b"10000000000000001"),
    "a chunk that is longer than said": chunked(size=b"%x" % (len(DATA) - 1)),
    "a chunk that ends with a line feed": chunked(end=b"\n"),
    "no host": post(LENGTH, host=b""),
    "two hosts": post(b"host: y\r\n", LENGTH),
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2.0": NEXT.replace(b"1.1", b"2.0"),
    "the start of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.9": NEXT.replace(b"1.1", b"1.9"),
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a path that is no ASCII": b"GET /v1/models/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    "tabs in the first line": post(LENGTH, line=b"POST\t/v1/completions\tHTTP/1.1\r\n"),
    "a method in small letters": NEXT.replace(b"GET", b"get"),
}
ONE_READING = {
    "plain": post(LENGTH),
    "a tab before chunks": post(b"transfer-encoding:\tChunked\r\n", body=chunked().split(b"\r\n\r\n", 1)[1]),
    "HTTP/1.0, which knows no host": post(LENGTH, host=b"").replace(b"/1.1", b"/1.0"),
    "a space behind a length": post(LENGTH.replace(b"\r", b" \r")),
    "an extension of a chunk": chunked(size=WHOLE + b";a=b"),
    "trailers that look like headers": chunked(last=b"0\r\ncontent-length: 9\r\nauthorization: Bearer x\r\n\r\n"),
    "lines that end with a line feed": post(LENGTH, body=b"").replace(b"\r\n", b"\n") + DATA,
    "a folded line": post(b"x: a\r\n content-length: 1\r\n", LENGTH),
    "empty lines in front": b"\r\n\r\n" + post(LENGTH),
    "another host in the first line": post(LENGTH, line=POST.replace(b" /", b" https://other/")),
    "a header that is no UTF-8": post(b"x: \xff\xfe\r\n", LENGTH),
    "another method in a header": post(b"x-http-method-override: DELETE\r\n", LENGTH),
}


async def exchange(running, sent):
    """Send a request and another behind it; return the statuses of the answers, and how many asked the engine."""
    before = len(running.engine.seen.requests)
    reader, writer = await running.raw()
    writer.write(sent + NEXT)
    found, statuses = b"", []
    try:
        async with asyncio.timeout(10):
            while len(statuses) < 2 and (some := await reader.read(65536)):
                found += some
                statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", found)]
    finally:
        writer.transport.abort()
    return statuses, len(running.engine.seen.requests) - before


async def test_what_has_two_readings_is_refused_and_ends_the_connection(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, body_seconds=2)) as running:
        found = {name: await exchange(running, sent) for name, sent in TWO_READINGS.items()}
        assert found == dict.fromkeys(TWO_READINGS, REFUSED)
        assert (await running.chat()).json["choices"][0]["message"]["content"] == "".join(TOKENS)


async def test_what_has_one_reading_is_read_as_what_was_sent(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, body_seconds=2)) as running:
        for name, sent in ONE_READING.items():
            assert await exchange(running, sent) == (CLOSED if b"HTTP/1.0" in sent else TAKEN), name
            path, body, head = running.engine.seen.requests[-1]
            assert (path, body["prompt"]) == ("/v1/completions", "mine"), name
            assert head.count(b"\r\n\r\n") == 1, name


async def test_a_request_in_the_body_of_another_is_no_request(tmp_path):
    async with gateway(tmp_path) as running:
        for coding in (b"content-length: %d\r\n\r\n%b", b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"):
            sent = b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + coding % (len(HIDDEN), HIDDEN)
            reader, writer = await running.raw()
            writer.write(sent + NEXT.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            answers = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert (answers.count(b"HTTP/1.1 200 "), answers.count(b'"object"')) == (2, 0)


async def test_many_callers_at_once_each_get_their_own_answer(tmp_path):
    """The engine repeats what it was asked; a stream that crossed would show another's words."""
    async with gateway(tmp_path) as running:
        running.engine.fault.kind = "repeat"
        words = [f"caller {number:03}" for number in range(60)]
        messages = [[{"role": "user", "content": word}] for word in words]
        answers = await asyncio.gather(*(running.chat(messages=asked) for asked in messages))
        assert [answer.json["choices"][0]["message"]["content"] for answer in answers] == words
