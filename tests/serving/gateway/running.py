"""A running gateway: the real server, real TLS, a fake engine and a fake attester on UNIX sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from serving.access.settings import Settings
from serving.attest.tls import create_identity
from serving.gateway.__main__ import Config, Served, create_engines, create_server
from serving.gateway.limits import Limits
from tests.serving.gateway.fake_engine import FakeEngine

MODEL = "smollm2-135m-instruct"
OPEN = Settings("open", Path("/dev/null"), "", "", Path("/dev/null"))
LIMITS = replace(Limits(), probe_pause_seconds=0.02, probe_seconds=0.5, hold_pause_seconds=0.02)


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"message", "type", "param", "code"}
        return self.json["error"]


class Gateway:
    def __init__(self, folder, engine, port):
        self.engine, self.port = engine, port
        self.context = ssl.create_default_context(cafile=str(folder / "tls/cert.pem"))
        self.context.check_hostname = False
        self.url = f"https://127.0.0.1:{port}"

    async def ask(self, method, path, **options):
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, ssl=self.context, **options) as answer,
        ):
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())

    async def chat(self, **fields):
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Where is Paris?"}], **fields}
        return await self.ask("POST", "/v1/chat/completions", json=body)

    async def raw(self):
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname="")

    async def until_ready(self, state="ready"):
        async with asyncio.timeout(10):
            while (await self.ask("GET", "/healthz")).json["engine"] != state:
                await asyncio.sleep(0.02)


async def _notified(path):
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            assert data == b"READY=1"
            arrived.set()

    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.setblocking(False)
    channel.bind(str(path))
    transport, _ = await loop.create_datagram_endpoint(Protocol, sock=channel)
    return transport, arrived


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def gateway(
    folder: Path,
    *,
    limits: Limits = LIMITS,
    ready: bool = True,
    models: dict[str, Path] | None = None,
    kind: str = "llamacpp",
    shaping: bool = False,
    metrics: bool = False,
    access: Settings = OPEN,
):
    """Run a gateway; ``ready`` waits until it has probed the fake engine, or those whose sockets are given.

    ``kind`` is what every engine is taken for.
    """
    (folder / "tls").mkdir()
    create_identity(folder / "tls")
    engine = FakeEngine(folder / "engine.sock")
    await engine.start()
    if not ready:
        engine.fault.kind = "loading"
    transport, arrived = await _notified(folder / "notify")
    port = free_port()
    notify = folder / "notify"
    config = Config(
        "127.0.0.1",
        port,
        folder / "tls",
        folder / "attester.sock",
        {name: Served(kind, path) for name, path in (models or {MODEL: folder / "engine.sock"}).items()},
        limits.requests,
        shaping,
        metrics,
        access,
        str(notify),
    )
    try:
        async with contextlib.AsyncExitStack() as stack:
            engines = create_engines(config.models, limits)
            server = create_server(config, limits, engines)
            tasks = [asyncio.create_task(server.serve())]
            clients = [await stack.enter_async_context(client) for client in {*engines.values()}]
            tasks += [asyncio.create_task(client.watch()) for client in clients]
            try:
                async with asyncio.timeout(20):
                    await arrived.wait()
                running = Gateway(folder, engine, port)
                if ready:
                    await running.until_ready()
                yield running
            finally:
                server.should_exit = True
                await tasks[0]
                for task in tasks[1:]:
                    task.cancel()
                await asyncio.wait(tasks)
    finally:
        transport.close()
        await engine.stop()
