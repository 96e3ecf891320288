"""``python -m tests.bench.serving.pipe PORT TLS SOCKET``: TLS to a UNIX socket, byte by byte; it knows no HTTP.

The floor: what nothing but encryption and two copies cost in this language.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import uvloop


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side ends."""
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def join(socket: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Join a connection to one of the engine's."""
    there, back = await asyncio.open_unix_connection(socket)
    await asyncio.gather(carry(reader, back), carry(there, writer))


async def main(port: int, tls: Path, socket: str) -> None:
    """Listen for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    server = await asyncio.start_server(partial(join, socket), "127.0.0.1", port, ssl=context, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
