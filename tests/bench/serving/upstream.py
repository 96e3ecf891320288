"""``python -m tests.bench.serving.upstream SOCKET``: an engine that costs next to nothing, for what a door costs.

``max_tokens`` events, one every ``seed`` milliseconds (0: no pauses), then the end. Both are fields that every door
passes on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = {"id": "cmpl-0123456789abcdef", "object": "text_completion", "created": 1, "model": "m"}
TOKEN = b"data: " + json.dumps(EVENT | {"choices": [{"index": 0, "text": " token", "finish_reason": None}]}).encode()


def chunk(data: bytes) -> bytes:
    """Frame bytes as a chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


PROBED = json.dumps({"choices": [{"text": "x"}], "usage": {"completion_tokens": 1}}).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests until the caller leaves."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await answer(json.loads(await reader.readexactly(length)), writer)
    writer.close()


async def answer(asked: dict, writer: asyncio.StreamWriter) -> None:
    """Write one answer: a probe's, or a stream."""
    if not asked.get("stream"):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ")
        writer.write(b"%d\r\n\r\n%b" % (len(PROBED), PROBED))
        return await writer.drain()
    writer.write(HEAD)
    for _ in range(asked["max_tokens"]):
        writer.write(chunk(TOKEN + b"\n\n"))
        await writer.drain()
        if asked["seed"] > 1:
            await asyncio.sleep(asked["seed"] / 1000)
    writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))
    return await writer.drain()


async def main(path: str) -> None:
    """Listen for ever."""
    server = await asyncio.start_unix_server(serve, path, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
