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
from serving.gateway.features import features_of
from serving.gateway.limits import Limits
from tests.ports import free_port
from tests.serving.gateway.fake_engine import TOKENS, FakeEngine

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

    async def answers_another(self):
        """Require that an honest caller gets the fake engine's answer, and all of it."""
        answer = await self.chat()
        assert answer.json["choices"][0]["message"]["content"] == "".join(TOKENS)

    async def raw(self):
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname="")

    async def begun(self, **fields):
        """Send a completion, read nothing, and return the connection."""
        reader, writer = await self.raw()
        body = json.dumps({"model": MODEL, "prompt": "x", **fields}).encode()
        writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        return reader, writer

    async def left_half_read(self):
        """Break off a stream after its beginning, and wait until the engine has noticed."""
        self.engine.fault.kind, self.engine.token_pause = "long_stream", 0.01
        reader, writer = await self.begun(stream=True)
        await reader.readuntil(b"Paris")
        writer.transport.abort()
        async with asyncio.timeout(60):
            while self.engine.seen.cancelled == 0:
                await asyncio.sleep(0.02)

    async def until_ready(self, state="ready", seconds=60):
        async with asyncio.timeout(seconds):
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


@contextlib.asynccontextmanager
async def gateway(
    folder: Path,
    *,
    limits: Limits = LIMITS,
    ready: bool = True,
    models: dict[str, Path] | None = None,
    kind: str = "llamacpp",
    context: int = 262_144,
    shaping: bool = False,
    metrics: bool = False,
    access: Settings = OPEN,
):
    """Run a gateway; ``ready`` waits until it has probed the fake engine, or those whose sockets are given.

    ``kind`` is what every engine is taken for, with what is turned on ("vllm,media"), ``context`` how many tokens its
    model takes.
    """
    (folder / "tls").mkdir()
    create_identity(folder / "tls")
    engine = FakeEngine(folder / "engine.sock")
    await engine.start()
    if not ready:
        engine.fault.kind = "loading"
    sockets = models or {MODEL: folder / "engine.sock"}
    config = Config(
        host="127.0.0.1",
        port=free_port(),
        tls=folder / "tls",
        attester=folder / "attester.sock",
        models={name: Served(features_of(kind), context, path) for name, path in sockets.items()},
        requests=limits.requests,
        shaping=shaping,
        metrics=metrics,
        access=access,
        notify=str(folder / "notify"),
    )
    try:
        async with _served(config, limits):
            running = Gateway(folder, engine, config.port)
            if ready:
                await running.until_ready(seconds=max(60, 2 * limits.probe_seconds))
            yield running
    finally:
        await engine.stop()


@contextlib.asynccontextmanager
async def _served(config: Config, limits: Limits):
    """Run the server, and the watch over each engine, from its notice that it listens on until the block is left."""
    transport, arrived = await _notified(Path(config.notify))
    engines = create_engines(config.models, limits)
    server = create_server(config, limits, engines)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(transport.close)
        tasks = [asyncio.create_task(server.serve())]
        clients = [await stack.enter_async_context(client) for client in {*engines.values()}]
        tasks += [asyncio.create_task(client.watch()) for client in clients]
        try:
            async with asyncio.timeout(20):
                await arrived.wait()
            yield
        finally:
            server.should_exit = True
            await tasks[0]
            for task in tasks[1:]:
                task.cancel()
            await asyncio.wait(tasks)
