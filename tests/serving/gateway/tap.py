"""An observer on the path: passes a connection through, and notes each TLS record's length and time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field

_HEADER = 5  # type, version, length (RFC 8446, section 5.1)
_LONGEST = 2**24  # of an answer: on a busy machine a shaped stream has more ticks


@dataclass(slots=True)
class Tap:
    """The records that came from the gateway since the client's last one."""

    port: int = 0
    asked: float = 0.0
    records: list = field(default_factory=list)

    def seen(self, tick):
        """What was seen: for each record, its instant in ticks and its length."""
        return [(round((when - self.asked) / tick), length) for when, length in self.records]


@contextlib.asynccontextmanager
async def tapped(port):
    tap, tasks = Tap(), set()

    async def up(reader, writer):
        while data := await reader.read(65536):
            tap.asked, tap.records = time.monotonic(), []
            writer.write(data)

    async def down(reader, writer):
        waiting = b""
        while data := await reader.read(65536):
            waiting += data
            while len(waiting) >= _HEADER and len(waiting) >= (size := _HEADER + int.from_bytes(waiting[3:5], "big")):
                tap.records.append((time.monotonic(), size))
                waiting = waiting[size:]
            writer.write(data)

    async def carry(reader, writer):
        tasks.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(up(reader, far_writer))
                await down(far_reader, writer)
                raise ConnectionResetError  # ends the other direction
        except* ConnectionError:
            pass
        finally:
            writer.close()
            far_writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    tap.port = server.sockets[0].getsockname()[1]
    try:
        yield tap
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def observed(running, tap, path, body):
    """Ask on a connection that has been used before, until the answer is complete; return its bytes."""
    where = {"ssl": running.context, "server_hostname": "", "limit": _LONGEST}
    reader, writer = await asyncio.open_connection("127.0.0.1", tap.port, **where)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"}")
        data = json.dumps(body).encode()
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(data)) + data)
        head = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in head:
            return head + await reader.readuntil(b"\r\n0\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await reader.readexactly(length)
    finally:
        writer.close()
