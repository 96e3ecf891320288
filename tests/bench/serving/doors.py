"""The ways to one engine that are compared: its socket itself, the gateway, and three proxies beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from serving.attest.tls import create_identity

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


UNIT = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""As the gateway's unit has it."""


@dataclass(frozen=True)
class Door:
    """One way in. ``pid`` is that of the process whose CPU time counts; the bare engine has none of its own."""

    name: str
    about: str
    socket: Path | None = None
    port: int = 0
    context: ssl.SSLContext | None = None
    pid: int = 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bare(engine: Path) -> Door:
    """Return the engine's own socket, without TLS."""
    return Door("bare engine", "the engine's own socket, no TLS", socket=engine)


@contextlib.contextmanager
def opened(
    folder: Path, engine: Path, model: str, kinds: tuple[str, ...], *, requests: int = 64
) -> Iterator[list[Door]]:
    """Open doors of these kinds to one engine, gateways for so many requests at once; close them in the end."""
    create_identity(folder)
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    with contextlib.ExitStack() as stack:
        doors = []
        for kind in kinds:
            port = free_port()
            command, about = COMMANDS[kind](port, folder, engine, model)
            command += ["--requests", str(requests)] if kind.startswith("gateway") else []
            process = subprocess.Popen(command, env=os.environ | (UNIT if kind.startswith("gateway") else {}))
            stack.callback(_stop, process)
            _wait(process, port)
            pid = _worker(process.pid) if kind == "nginx" else process.pid
            doors.append(Door(kind, about, port=port, context=context, pid=pid))
        yield doors


def _gateway(
    port: int, folder: Path, engine: Path, model: str, *, shape: str = "--no-shaping"
) -> tuple[list[str], str]:
    command = [sys.executable, "-m", "serving.gateway", "--host", "127.0.0.1", "--port", str(port), shape]
    command += ["--tls", str(folder), "--attester", str(folder / "none"), "--model", f"{model}=vllm:{engine}"]
    command += ["--no-metrics", "--access", "open", "--issuers", "/dev/null", "--built", "/dev/null"]
    command += ["--audience=", "--issued-after="]
    return command, f"uvicorn {version('uvicorn')}, Starlette {version('starlette')}, aiohttp {version('aiohttp')}"


def _pipe(port: int, folder: Path, engine: Path, _: str) -> tuple[list[str], str]:
    command = [sys.executable, "-m", "tests.bench.serving.pipe", str(port), str(folder), str(engine)]
    return command, f"asyncio with uvloop {version('uvloop')}: bytes through TLS, no HTTP"


def _plain(port: int, folder: Path, engine: Path, _: str) -> tuple[list[str], str]:
    command = [sys.executable, "-m", "tests.bench.serving.plain", str(port), str(folder), str(engine)]
    return command, f"uvicorn {version('uvicorn')}, aiohttp {version('aiohttp')}: forwards everything, checks nothing"


def _nginx(port: int, folder: Path, engine: Path, _: str) -> tuple[list[str], str]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    path = folder / "nginx.conf"
    # Else its worker would be a user who may not reach the engine.
    user = "user root; " if os.geteuid() == 0 else ""
    path.write_text(NGINX.format(folder=folder, engine=engine, port=port, user=user))
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


def _wait(process: subprocess.Popen, port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"{process.args} does not listen")


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait(30)
