"""The machine that is measured: a software TPM, a wire that makes it slow, the attester, the gateway; each a process.

``python3 -m tests.bench.attestation.parts FOLDER TREE PAUSE`` is the gateway with its attester in ``FOLDER``; it prints
its port.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.loops.uvloop import uvloop_setup

import serving.gateway.__main__ as gateway_process
from serving.gateway.app import Endpoint
from serving.selfcheck.checks import NAMES
from serving.selfcheck.verdict import write_passed
from tests.serving.fixtures import start_swtpm, store_ek_certificate
from tests.serving.gateway.running import LIMITS, gateway

STATIC, EVIDENCE = "/static", "/.well-known/attestation"
_SECONDS = 30.0


@dataclass(frozen=True)
class Machine:
    """Running processes by what they are, the port of the gateway, and where the attester's certificate lies."""

    processes: dict[str, subprocess.Popen[bytes]]
    port: int
    certificate: Path

    def cpu(self) -> dict[str, float]:
        """Return the CPU-seconds that each process has used, all of its threads."""
        return {name: _used(process.pid) for name, process in self.processes.items()}


@contextmanager
def machine(folder: Path, *, log_size: int, quote_seconds: float, tree: int, pause: float) -> Iterator[Machine]:
    """Boot one: evidence is as large as a firmware log of that size makes it; every quote takes that long."""
    for name in ("selfcheck", "tls", "root", "gateway"):
        (folder / name).mkdir(parents=True)
    (folder / "tls").chmod(0o2750)
    write_passed(folder / "selfcheck", NAMES, os.urandom(log_size), b"")
    tpm, tcti = start_swtpm(folder / "tpm")
    processes = {"TPM": tpm}
    try:
        store_ek_certificate(tcti)
        swtpm, wire, socket = tcti.removeprefix("swtpm:path="), folder / "wire", folder / "gateway/attester.sock"
        processes["wire"] = _start("tests.serving.tpm_wire", swtpm, wire, quote_seconds)
        _appears(wire.with_name("wire.ctrl"))
        options = {"tcti": f"swtpm:path={wire}", "root": folder / "root", "socket": socket}
        options |= {"selfcheck": folder / "selfcheck", "tls": folder / "tls"}
        processes["attester"] = _start("serving.attest", *(f"--{name}={value}" for name, value in options.items()))
        _appears(socket)
        processes["gateway"] = _start("tests.bench.attestation.parts", folder / "gateway", tree, pause)
        port = int(processes["gateway"].stdout.readline())
        yield Machine(processes, port, folder / "tls/cert.pem")
    finally:
        for process in reversed(processes.values()):
            process.kill()
            process.wait()


def _start(module: str, *words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module, *map(str, words)], stdout=subprocess.PIPE)


def _appears(path: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"{path.name} did not come up")
        time.sleep(0.02)


def _used(pid: int) -> float:
    """Read nanoseconds on a CPU (proc(5), schedstat); ticks of a hundredth would be too coarse."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


async def serve(folder: Path, tree: int, pause: float) -> None:
    """Run the gateway, with one page more: as many bytes as the evidence has, ready to be sent."""
    made = gateway_process.create_app
    page: dict[str, bytes] = {}

    def with_static(parts):
        app = made(parts)
        headers = {"content-type": "application/json", "cache-control": "no-store"}

        async def static(_: Request) -> Response:
            return Response(page["body"], headers=headers)

        paths = [route.path for route in app.router.routes]
        # Neither is found sooner.
        app.router.routes.insert(paths.index(EVIDENCE), Route(STATIC, Endpoint("GET", static)))
        return app

    gateway_process.create_app = with_static
    # Without shared quotes the last of many clients waits longer than a gateway lets them.
    limits = replace(LIMITS, tree=tree, quote_pause_seconds=pause, attester_seconds=60.0)
    async with gateway(folder, limits=limits) as running:
        page["body"] = (await running.ask("GET", f"{EVIDENCE}?nonce={'00' * 32}")).body
        print(running.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    gc.freeze()  # as the gateway does
    gc.enable()
    uvloop_setup()
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
