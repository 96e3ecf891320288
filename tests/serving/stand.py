"""``python3 -m tests.serving.stand FOLDER KIND``: a gateway for clients from outside, until standard input ends.

``llamacpp`` is the real engine with the real model, ``fake`` one that answers at once and as vLLM is asked, ``embed``
the same for embeddings. FOLDER gets the certificate and, once requests are answered, the port.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from tests.serving.engines import processes
from tests.serving.engines.llamacpp import start
from tests.serving.gateway.running import LIMITS, MODEL, gateway


async def serve(folder: Path, kind: str) -> None:
    settings = {"kind": "vllm,embed" if kind == "embed" else "vllm,media,tools", "metrics": True}
    process = None
    if kind == "llamacpp":
        process, path = start(folder), processes.socket_of(folder, MODEL)
        settings = {"kind": kind, "models": {MODEL: path}, "shaping": True}
        while not path.exists():
            assert process.poll() is None, "the engine died"
            await asyncio.sleep(0.1)
    try:
        async with gateway(folder, limits=replace(LIMITS, probe_seconds=60), **settings) as running:
            await running.until_ready()
            (folder / "port.new").write_text(str(running.port))
            (folder / "port.new").rename(folder / "port")
            await asyncio.to_thread(sys.stdin.read)
    finally:
        if process:
            process.terminate()
            process.communicate()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
