"""``python -m tests.serving_vllm.clients``: ask every client for every feature, and write vLLM's table of the page."""

from __future__ import annotations

import asyncio
import json
import tempfile
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path

from serving.gateway.limits import Limits
from tests.compat.page import CLIENTS, ORDER, PAGE, REPOSITORY, renewed
from tests.serving.gateway.running import gateway
from tests.serving_vllm.conftest import begin, end

LIMITS = replace(Limits(), probe_pause_seconds=0.1)
OPTIONS = {"tool_parser": "hermes"}
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


async def asked(folder, engine):
    """Return what each client gets of each feature, as ``tests.compat`` prints it."""
    assert CLIENTS.exists(), "make test-serving installs the clients"
    async with gateway(folder, models=engine.models, limits=LIMITS, kind="vllm,tools", shaping=True) as running:
        argv = [CLIENTS, "-m", "tests.compat", running.url, folder / "tls/cert.pem", *ORDER]
        told = {**ENVIRONMENT, "PYTHONPATH": str(REPOSITORY)}
        clients = await asyncio.create_subprocess_exec(*map(str, argv), stdout=PIPE, stderr=PIPE, env=told)
        output, errors = await clients.communicate()
    assert clients.returncode == 0, errors.decode()[-3000:]
    return json.loads(output.splitlines()[-1])


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "gateway").mkdir()
        engine = begin(folder, **OPTIONS)
        try:
            found = asyncio.run(asked(folder / "gateway", engine))
        finally:
            end(engine)
    PAGE.write_text(renewed(PAGE.read_text(), "vllm", found))


if __name__ == "__main__":
    main()
