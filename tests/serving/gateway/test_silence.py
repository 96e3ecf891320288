"""The gateway as systemd starts it: whatever happens, it prints nothing and ends with nothing said."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from pathlib import Path

import pytest

from serving.attest.tls import create_identity
from tests.serving.gateway.fake_engine import FakeEngine
from tests.serving.gateway.running import MODEL, Gateway, free_port

pytestmark = pytest.mark.asyncio
ROOT = Path(__file__).resolve().parents[3]
SECRET = "xyzzy-plugh"
FAULTS = ["answer", "refuse", "broken", "html", "no_http", "crash_in_stream", "hang_up", "endless_event"]


async def start(folder, port, *, key=True):
    if key:
        create_identity(folder)
    argv = ["-S", "-P", "-X", "dev", "-m", "serving.gateway", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--tls", str(folder), "--attester", str(folder / "a"), "--engine", str(folder / "e"), "--model", MODEL]
    argv += ["--kind", "llamacpp", "--no-shaping", "--no-metrics"]
    environment = {"PYTHONPATH": f"{ROOT}:/usr/lib/python3/dist-packages", "PYTHONWARNINGS": "ignore"}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, *argv, env=environment, cwd="/", stdout=pipe, stderr=pipe
    )


async def test_prompts_answers_and_faults_leave_no_trace(tmp_path):
    (tmp_path / "tls").mkdir()
    port = free_port()
    process = await start(tmp_path, port)
    engine = FakeEngine(tmp_path / "e")
    await engine.start()
    (tmp_path / "tls/cert.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
    running = Gateway(tmp_path, engine, port)
    async with asyncio.timeout(60):
        while True:
            try:
                await running.until_ready()
                break
            except (OSError, ssl.SSLError):
                await asyncio.sleep(0.1)
    messages = [{"role": "user", "content": SECRET}]
    statuses = set()
    for fault in FAULTS:
        engine.fault.kind = fault
        for stream in (False, True):
            statuses.add((await running.chat(messages=messages, stream=stream)).status)
        engine.fault.kind = "answer"
        await running.until_ready()
    await running.ask("POST", "/v1/chat/completions", data=f'{{"model": "{SECRET}'.encode())
    await running.ask("POST", "/v1/chat/completions", json={SECRET: 1})
    await running.ask("GET", f"/{SECRET}")
    await running.ask("GET", f"/.well-known/attestation?nonce={SECRET}")
    assert {200, 400, 502} <= statuses
    assert SECRET in json.dumps([body for _, body, _ in engine.seen.requests]), "the engine was asked"
    process.send_signal(signal.SIGTERM)
    output = await process.communicate()
    await engine.stop()
    assert output == (b"", b"")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


async def test_without_a_key_it_does_not_start(tmp_path):
    process = await start(tmp_path, free_port(), key=False)
    await process.communicate()
    assert process.returncode != 0
