"""The machine that is measured: a software TPM, a wire that makes it slow, the attester, the gateway; each a process.

``python3 -m tests.bench.attestation.parts FOLDER SHARED PAUSE`` is the gateway with its attester in ``FOLDER``; it
prints its port.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
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
from serving.gateway.attester import AttesterClient
from serving.selfcheck.checks import NAMES
from serving.selfcheck.verdict import write_passed
from tests.bench.cpu import cpu_seconds
from tests.serving.fixtures import start_swtpm, store_ek_certificate
from tests.serving.gateway.running import LIMITS, gateway
from tests.sockets import until_listens

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
        return {name: cpu_seconds(process.pid) for name, process in self.processes.items()}


@contextmanager
def machine(folder: Path, *, log_size: int, quote_seconds: float, shared: bool, pause: float) -> Iterator[Machine]:
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
        until_listens(processes["wire"], wire.with_name("wire.ctrl"), _SECONDS)
        options = {"tcti": f"swtpm:path={wire}", "root": folder / "root", "socket": socket}
        options |= {"selfcheck": folder / "selfcheck", "tls": folder / "tls"}
        processes["attester"] = _start("serving.attest", *(f"--{name}={value}" for name, value in options.items()))
        until_listens(processes["attester"], socket, _SECONDS)
        processes["gateway"] = _start("tests.bench.attestation.parts", folder / "gateway", int(shared), pause)
        port = int(processes["gateway"].stdout.readline())
        yield Machine(processes, port, folder / "tls/cert.pem")
    finally:
        for process in reversed(processes.values()):
            process.kill()
            process.wait()


def _start(module: str, *words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module, *map(str, words)], stdout=subprocess.PIPE)


def _quote_one_by_one() -> None:
    """Have a quote for each nonce, as a gateway would that shares none."""
    quote = AttesterClient._quote

    async def one_by_one(client, taken):
        for waiter in taken:
            await quote(client, [waiter])

    AttesterClient._quote = one_by_one


async def serve(folder: Path, *, shared: bool, pause: float) -> None:
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
    if not shared:
        _quote_one_by_one()
    # Without shared quotes the last of many clients waits longer than a gateway lets them.
    limits = replace(LIMITS, quote_pause_seconds=pause, attester_seconds=60.0)
    async with gateway(folder, limits=limits) as running:
        page["body"] = (await running.ask("GET", f"{EVIDENCE}?nonce={'00' * 32}")).body
        print(running.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    gc.freeze()  # as the gateway does
    gc.enable()
    uvloop_setup()
    asyncio.run(serve(Path(sys.argv[1]), shared=sys.argv[2] == "1", pause=float(sys.argv[3])))
