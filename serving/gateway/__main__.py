"""``python3 -m serving.gateway``: serve HTTPS until the machine ends.

Imports cost more than anything else here under software emulation, hence the three settings before them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pydantic

gc.disable()  # until everything is imported: nothing of that is garbage
# FastAPI builds a validator for each of its OpenAPI models while it is imported. Nobody asks for them here: deferring
# them saves half of its import, and not finding email_validator saves another tenth.
pydantic.BaseModel.model_config["defer_build"] = True
sys.modules["email_validator"] = None  # type: ignore[assignment]

import uvicorn  # noqa: E402
from uvicorn.loops.uvloop import uvloop_setup  # noqa: E402

from serving.gateway.app import Parts, create_app  # noqa: E402
from serving.gateway.attester import AttesterClient  # noqa: E402
from serving.gateway.engine import Engine  # noqa: E402
from serving.gateway.features import FEATURES  # noqa: E402
from serving.gateway.limits import Limits  # noqa: E402
from serving.gateway.meter import Meter  # noqa: E402
from serving.gateway.protocol import bounded_protocol  # noqa: E402
from serving.gateway.relay import Way  # noqa: E402
from serving.gateway.rules import Rules  # noqa: E402
from serving.gateway.salt import Salts  # noqa: E402
from serving.gateway.shaping import Shape  # noqa: E402
from serving.notify import notify_ready  # noqa: E402


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the process is told: its command line and systemd's notification socket."""

    host: str
    port: int
    tls: Path
    attester: Path
    engine: Path
    model: str
    kind: str
    shaping: bool
    metrics: bool
    notify: str | None


class Server(uvicorn.Server):  # type: ignore[misc]  # uvicorn is not installed on the development host
    """uvicorn's server, which tells systemd once it listens."""

    notify: str | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            notify_ready(self.notify)


def read_config(arguments: list[str], environment: Mapping[str, str]) -> Config:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="serving.gateway")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls", type=Path, required=True)
    parser.add_argument("--attester", type=Path, required=True)
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--kind", choices=sorted(FEATURES), required=True, help="which engine it is")
    parser.add_argument("--shaping", action=argparse.BooleanOptionalAction, required=True)
    parser.add_argument("--metrics", action=argparse.BooleanOptionalAction, required=True)
    return Config(**vars(parser.parse_args(arguments)), notify=environment.get("NOTIFY_SOCKET"))


def tls_context(folder: Path) -> ssl.SSLContext:
    """Make the server's context: TLS 1.3 alone, the key of this boot, no session tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a resumed session would be one without a look at the certificate
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def create_server(config: Config, limits: Limits, engine: Engine) -> Server:
    """Make the server; nothing listens yet."""
    way = Way(engine, limits, Shape() if config.shaping else None, Meter())
    rules = Rules(config.model, limits, FEATURES[config.kind])
    parts = Parts(way, AttesterClient(config.attester, limits), rules, Salts(), config.metrics)
    settings = uvicorn.Config(
        create_app(parts),
        host=config.host,
        port=config.port,
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=5,
    )
    settings.load()
    settings.ssl = tls_context(config.tls)
    server = Server(settings)
    server.notify = config.notify
    return server


async def serve(config: Config, limits: Limits) -> None:
    """Serve until a signal comes."""
    async with Engine(config.engine, limits) as engine:
        server = create_server(config, limits, engine)
        watching = asyncio.create_task(engine.watch())
        try:
            await server.serve()
        finally:
            watching.cancel()


def main() -> int:
    """Run the process; return the exit status."""
    logging.disable(logging.CRITICAL)  # no library writes a line; standard output and error are closed as well
    config = read_config(sys.argv[1:], os.environ)
    gc.freeze()
    gc.enable()
    uvloop_setup()
    asyncio.run(serve(config, Limits()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
