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
from tests.ports import free_port
from tests.serving.access.issuing import OTHER, by_tokens
from tests.serving.gateway.fake_engine import FakeEngine
from tests.serving.gateway.running import MODEL, OPEN, Gateway
from tests.serving.gateway.test_access import chat, fresh
from tests.serving.units import memory_settings

pytestmark = pytest.mark.asyncio
ROOT = Path(__file__).resolve().parents[3]
SECRET = "xyzzy-plugh"
FAULTS = ["answer", "refuse", "broken", "html", "no_http", "crash_in_stream", "hang_up", "endless_event"]


async def start(folder, port, *, key=True, access=OPEN, flags=("-X", "dev")):
    if key:
        create_identity(folder)
    argv = ["-S", "-P", *flags, "-m", "serving.gateway", "--host", "127.0.0.1", "--port", str(port)]
    argv += [
        "--tls",
        str(folder),
        "--attester",
        str(folder / "a"),
        "--model",
        f"{MODEL}=llamacpp:262144:{folder / 'e'}",
    ]
    argv += ["--no-shaping", "--no-metrics", "--requests", "64"]
    argv += ["--access", access.access, "--issuers", str(access.issuers), "--built", str(access.built)]
    argv += [f"--audience={access.audience}", f"--issued-after={access.issued_after}"]
    environment = {"PYTHONPATH": f"{ROOT}:/usr/lib/python3/dist-packages", "PYTHONWARNINGS": "ignore"}
    environment |= memory_settings("gateway", "vitrine-gateway.service")
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, *argv, env=environment, cwd="/", stdout=pipe, stderr=pipe
    )


async def started(folder, **options):
    """Start a gateway as a process of its own, and wait until it has asked its engine."""
    (folder / "tls").mkdir()
    port = free_port()
    process = await start(folder, port, **options)
    engine = FakeEngine(folder / "e")
    await engine.start()
    (folder / "tls/cert.pem").write_bytes((folder / "cert.pem").read_bytes())
    running = Gateway(folder, engine, port)
    async with asyncio.timeout(60):
        while True:
            try:
                await running.until_ready()
            except (OSError, ssl.SSLError):
                await asyncio.sleep(0.1)
            else:
                return process, engine, running


async def test_prompts_answers_and_faults_leave_no_trace(tmp_path):
    process, engine, running = await started(tmp_path)
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


async def test_tokens_and_who_holds_them_leave_no_trace(tmp_path):
    process, engine, running = await started(tmp_path, access=by_tokens(tmp_path, built=0))
    subject = "xyzzy-plugh-xyzzy-plug"
    good = fresh(subject=subject, rate=2, tokens=50)
    tokens = [good, good, good, fresh(OTHER, subject=subject), fresh(service="x", subject=subject), SECRET, good[:-9]]
    statuses = {(await chat(running, text, max_tokens=5)).status for text in tokens}
    assert statuses == {200, 401, 429}
    process.send_signal(signal.SIGTERM)
    output = await process.communicate()
    await engine.stop()
    assert output == (b"", b"")
    kept = b"".join([path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()])
    assert not [word for word in (*tokens, subject) if word.encode() in kept]


async def test_an_image_that_does_not_say_who_may_ask_serves_nobody(tmp_path):
    process = await start(tmp_path, free_port(), access=by_tokens(tmp_path, keys=()))
    _, said = await process.communicate()
    assert process.returncode != 0
    assert b"AccessError" in said, "in the VM nobody reads it: standard error is closed there"


async def test_without_a_key_it_does_not_start(tmp_path):
    process = await start(tmp_path, free_port(), key=False)
    await process.communicate()
    assert process.returncode != 0
