"""The ways to one engine that are compared: its socket itself, the gateway, and three proxies beside it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from serving.attest.tls import create_identity
from serving.gateway.features import FEATURES
from tests.ports import free_port
from tests.serving.engines import processes
from tests.serving.units import memory_settings

NGINX = """
{user}daemon off; pid {folder}/nginx.pid; error_log /dev/null; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/n1; proxy_temp_path {folder}/n2;
  fastcgi_temp_path {folder}/n3; uwsgi_temp_path {folder}/n4; scgi_temp_path {folder}/n5;
  upstream engine {{ server unix:{engine}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location / {{
      proxy_pass http://engine; proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


_SECONDS = 120
UNIT = memory_settings("gateway", "vitrine-gateway.service")


@dataclass(frozen=True)
class Upstream:
    """The engine behind the doors: what the gateway takes it for, its socket, and its model's public name."""

    kind: str
    socket: Path
    model: str


@dataclass(frozen=True)
class Door:
    """One way in. ``pid`` is that of the process whose CPU time counts; the bare engine has none of its own.

    ``keeps``: whether who asks uses a connection again.
    """

    name: str
    about: str
    socket: Path | None = None
    port: int = 0
    context: ssl.SSLContext | None = None
    pid: int = 0
    keeps: bool = True


def command_line(pid: int) -> str:
    """Return a process's words; some write a title over them, and fill up with nothing."""
    return shlex.join(filter(None, processes.words(pid)))


def bare(engine: Upstream) -> Door:
    """Return the engine's own socket, without TLS, whose connections are used again where the gateway does so too."""
    keeps = FEATURES[engine.kind].keeps
    return Door("bare engine", "the engine's own socket, no TLS", socket=engine.socket, keeps=keeps)


@contextlib.contextmanager
def opened(folder: Path, engine: Upstream, kinds: tuple[str, ...], *, requests: int = 128) -> Iterator[list[Door]]:
    """Open doors of these kinds to one engine, gateways for so many requests at once; close them in the end.

    A gateway is open once it says that its engine has answered. One caller has no more places than are left free, and a
    place is free again only a moment after its stream's end: so four times as many as there are streams.
    """
    create_identity(folder)
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    with contextlib.ExitStack() as stack:
        doors = []
        for kind in kinds:
            port = free_port()
            command, about = COMMANDS[kind](port, folder, engine)
            ours = kind.startswith("gateway")
            command += ["--requests", str(requests)] if ours else []
            process = subprocess.Popen(command, env=os.environ | (UNIT if ours else {}))
            stack.callback(_stop, process)
            _until(partial(_ready if ours else _listens, port, context), process)
            pid = _worker(process.pid) if kind == "nginx" else process.pid
            doors.append(Door(kind, about, port=port, context=context, pid=pid))
        yield doors


def _gateway(port: int, folder: Path, engine: Upstream, *, shape: str = "--no-shaping") -> tuple[list[str], str]:
    command = [sys.executable, "-m", "serving.gateway", "--host", "127.0.0.1", "--port", str(port), shape]
    command += ["--tls", str(folder), "--attester", str(folder / "none")]
    command += ["--model", f"{engine.model}={engine.kind}:262144:{engine.socket}"]
    command += ["--no-metrics", "--access", "open", "--issuers", "/dev/null", "--built", "/dev/null"]
    command += ["--audience=", "--issued-after="]
    return command, f"uvicorn {version('uvicorn')}, Starlette {version('starlette')}, aiohttp {version('aiohttp')}"


def _pipe(port: int, folder: Path, engine: Upstream) -> tuple[list[str], str]:
    command = [sys.executable, "-m", "tests.bench.serving.pipe", str(port), str(folder), str(engine.socket)]
    return command, f"asyncio with uvloop {version('uvloop')}: bytes through TLS, no HTTP"


def _plain(port: int, folder: Path, engine: Upstream) -> tuple[list[str], str]:
    command = [sys.executable, "-m", "tests.bench.serving.plain", str(port), str(folder), str(engine.socket)]
    return command, f"uvicorn {version('uvicorn')}, aiohttp {version('aiohttp')}: forwards everything, checks nothing"


def _nginx(port: int, folder: Path, engine: Upstream) -> tuple[list[str], str]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    path = folder / "nginx.conf"
    # Else its worker would be a user who may not reach the engine.
    user = "user root; " if os.geteuid() == 0 else ""
    path.write_text(NGINX.format(folder=folder, engine=engine.socket, port=port, user=user))
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr.strip()
    return [program, "-c", str(path)], f"{told.removeprefix('nginx version: ')}, proxy_buffering off, one worker"


COMMANDS = {
    "gateway": _gateway,
    "gateway, shaped": partial(_gateway, shape="--shaping"),
    "byte pipe": _pipe,
    "plain proxy": _plain,
    "nginx": _nginx,
}


def _worker(pid: int) -> int:
    """Return nginx's one worker: the process that was started does none of the work."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.05)
    return int(found[0])


def _until(reached: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + _SECONDS
    while not reached():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args} does not answer")
        time.sleep(0.05)


def _listens(port: int, _: ssl.SSLContext) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _ready(port: int, context: ssl.SSLContext) -> bool:
    """Ask a gateway whether its engine has answered it."""
    asking = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    with contextlib.suppress(OSError), contextlib.closing(asking):
        asking.request("GET", "/healthz")
        return json.loads(asking.getresponse().read())["engine"] == "ready"
    return False


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait(30)
