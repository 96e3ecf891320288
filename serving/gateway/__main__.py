"""``python3 -m serving.gateway``: serve HTTPS until the machine ends."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import re
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

gc.disable()  # until everything is imported: nothing of that is garbage, and looking costs time under emulation

import uvicorn  # noqa: E402
from uvicorn.loops.uvloop import uvloop_setup  # noqa: E402

from serving.access.settings import Settings, add_options, create_access, take_settings  # noqa: E402
from serving.gateway.app import Parts, create_app  # noqa: E402
from serving.gateway.attester import AttesterClient  # noqa: E402
from serving.gateway.engine import Engine  # noqa: E402
from serving.gateway.features import Features, features_of  # noqa: E402
from serving.gateway.forgetting import overwrite_what_is_freed  # noqa: E402
from serving.gateway.limits import Limits  # noqa: E402
from serving.gateway.metrics import Metrics  # noqa: E402
from serving.gateway.protocol import bounded_protocol  # noqa: E402
from serving.gateway.reception import Reception, listen  # noqa: E402
from serving.gateway.relay import Way  # noqa: E402
from serving.gateway.rules import Rules  # noqa: E402
from serving.gateway.salt import Salts  # noqa: E402
from serving.gateway.shaping import Shape  # noqa: E402
from serving.gateway.tls import tls_context  # noqa: E402
from serving.notify import notify_ready  # noqa: E402

_MODEL = "NAME=ENGINE[,TRAIT...]:CONTEXT:SOCKET"
_CONTEXT = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Served:
    """What a model can do, how many tokens it takes in all, and where its engine listens."""

    features: Features
    context: int
    socket: Path


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the process is told: its command line and systemd's notification socket."""

    host: str
    port: int
    tls: Path
    attester: Path
    models: Mapping[str, Served]
    requests: int
    shaping: bool
    metrics: bool
    access: Settings
    notify: str | None


class Server(uvicorn.Server):  # type: ignore[misc]  # uvicorn is not installed on the development host
    """uvicorn's server with a reception of our own, which tells systemd once it listens."""

    def __init__(self, settings: uvicorn.Config, limits: Limits, notify: str | None) -> None:
        super().__init__(settings)
        self._limits, self._notify = limits, notify

    async def startup(self, sockets: list[object] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets or [])
        make = partial(self.config.http_protocol_class, self.config, self.server_state, self.lifespan.state)
        listener = listen(self.config.host, self.config.port, self._limits)
        self.servers = [Reception(listener, self.config.ssl, make, self._limits)]
        notify_ready(self._notify)


def read_config(arguments: list[str], environment: Mapping[str, str]) -> Config:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="serving.gateway")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls", type=Path, required=True)
    parser.add_argument("--attester", type=Path, required=True)
    parser.add_argument("--model", type=_model, action="append", required=True, metavar=_MODEL, dest="models")
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--shaping", action=argparse.BooleanOptionalAction, required=True)
    parser.add_argument("--metrics", action=argparse.BooleanOptionalAction, required=True)
    add_options(parser)
    options = vars(parser.parse_args(arguments))
    if len(dict(options["models"])) != len(options["models"]):
        parser.error("two models of one name")
    options["models"] = dict(options["models"])
    return Config(access=take_settings(options), **options, notify=environment.get("NOTIFY_SOCKET"))


def _model(text: str) -> tuple[str, Served]:
    name, _, served = text.partition("=")
    words, context, path = [*served.split(":", 2), "", ""][:3]
    try:
        features = features_of(words)
    except ValueError:
        raise argparse.ArgumentTypeError("an engine, or a trait of it, that there is not") from None
    if not name or not _CONTEXT.fullmatch(context) or not path:
        raise argparse.ArgumentTypeError(f"expected {_MODEL}")
    return name, Served(features, int(context), Path(path))


def create_engines(models: Mapping[str, Served], limits: Limits) -> dict[str, Engine]:
    """Make one engine a socket: an adapter is another name for the engine of its model."""
    served = {served.socket: served.features for served in models.values()}
    engines = {path: Engine(path, limits, task=can.task, keep=can.keeps) for path, can in served.items()}
    return {name: engines[one.socket] for name, one in models.items()}


def create_parts(config: Config, limits: Limits, engines: Mapping[str, Engine]) -> Parts:
    """Make what the routes are made of.

    Raises:
        AccessError: image and unit contradict each other about who may ask.
    """
    features = {name: served.features for name, served in config.models.items()}
    contexts = {name: served.context for name, served in config.models.items()}
    return Parts(
        engines=engines,
        way=Way(limits, Shape() if config.shaping else None, Metrics()),
        attester=AttesterClient(config.attester, limits),
        access=create_access(config.access, models=frozenset(engines), callers=limits.callers),
        rules=Rules(features, contexts, limits),
        salts=Salts(),
        metrics=config.metrics,
    )


def create_server(config: Config, limits: Limits, engines: Mapping[str, Engine]) -> Server:
    """Make the server; nothing listens yet."""
    settings = uvicorn.Config(
        create_app(create_parts(config, limits, engines)),
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
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=5,
    )
    settings.load()
    settings.ssl = tls_context(config.tls)
    return Server(settings, limits, config.notify)


async def serve(config: Config, limits: Limits) -> None:
    """Serve until a signal comes."""
    engines = create_engines(config.models, limits)
    async with AsyncExitStack() as stack:
        watching = [
            asyncio.create_task((await stack.enter_async_context(engine)).watch()) for engine in {*engines.values()}
        ]
        try:
            await create_server(config, limits, engines).serve()
        finally:
            for task in watching:
                task.cancel()


def main() -> int:
    """Run the process; return the exit status."""
    logging.disable(logging.CRITICAL)  # no library writes a line; standard output and error are closed as well
    overwrite_what_is_freed()
    config = read_config(sys.argv[1:], os.environ)
    gc.freeze()
    gc.enable()
    uvloop_setup()
    asyncio.run(serve(config, Limits(requests=config.requests)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
