"""The real engine with the real model, as a process of its own, behind the real gateway."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from serving.engines.__main__ import read_config
from tests.serving.gateway.running import LIMITS, MODEL, gateway

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = Path(os.environ["VITRINE_MODEL"])
QUESTION = [{"role": "user", "content": "What is the capital of Japan?"}]
OPTIONS = ["--name", MODEL, "--context", "512", "--slots", "1"]


def start(model, path, notify=None):
    argv = [sys.executable, "-S", "-P", "-m", "serving.engines", "llamacpp", "--model", str(model)]
    argv += ["--socket", str(path), *OPTIONS]
    environment = {"PYTHONPATH": f"{ROOT}:{os.environ['VITRINE_ENGINE']}:/usr/lib/python3/dist-packages"}
    if notify:
        environment["NOTIFY_SOCKET"] = str(notify)
    return subprocess.Popen(argv, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A running engine: its process and its socket."""
    folder = tmp_path_factory.mktemp("engine")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(folder / "notify"))
        channel.settimeout(120)
        process = start(WEIGHTS, folder / "engine.sock", folder / "notify")
        assert channel.recv(100) == b"READY=1"
    yield process, folder / "engine.sock"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert output == b"", "the engine printed something"


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


def post(path, route, body):
    connection = Connection(str(path), timeout=60)
    connection.request("POST", route, json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


@pytest.mark.asyncio
async def test_a_chat_and_a_stream_are_answered_rightly_through_the_gateway(engine, tmp_path):
    async with gateway(tmp_path, real_engine=engine[1], limits=replace(LIMITS, probe_seconds=60)) as running:
        fields = {"messages": QUESTION, "temperature": 0, "max_tokens": 8}
        answer = (await running.chat(**fields)).json
        assert answer["choices"][0]["message"]["content"] == "The capital of Japan is Tokyo."
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["model"] == MODEL
        assert answer["usage"]["prompt_tokens"] == 16
        streamed = await running.chat(**fields, stream=True, stream_options={"include_usage": True})
        parts = [json.loads(line[6:]) for line in streamed.body.decode().split("\n\n") if line.startswith("data: {")]
        pieces = [part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"]]
        assert "".join(pieces) == "The capital of Japan is Tokyo."
        assert parts[-1]["usage"]["completion_tokens"] == 8
        unasked = (await running.chat(**fields, stream=True)).body.decode()
        assert "usage" not in unasked
        assert unasked.count("data: {") == len(parts) - 1


@pytest.mark.asyncio
async def test_a_prompt_over_the_context_is_openais_error(engine, tmp_path):
    async with gateway(tmp_path, real_engine=engine[1], limits=replace(LIMITS, probe_seconds=60)) as running:
        answer = await running.chat(messages=[{"role": "user", "content": "word " * 1000}])
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")


def test_nothing_of_an_earlier_prompt_is_reused(engine):
    body = {"prompt": "one two three four five six seven eight nine ten", "max_tokens": 1, "stream": False}
    for _ in range(2):
        _, data = post(engine[1], "/v1/completions", body)
        assert json.loads(data)["timings"]["cache_n"] == 0
        assert json.loads(data)["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_the_socket_is_for_owner_and_group(engine):
    assert stat.S_IMODE(engine[1].stat().st_mode) == 0o660


def test_it_listens_on_no_network(engine):
    sockets = {str(link.readlink()) for link in Path(f"/proc/{engine[0].pid}/fd").iterdir() if link.is_symlink()}
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in sockets if link.startswith("socket:")}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/{engine[0].pid}/net/{table}").read_text().splitlines()[1:]
        assert not {line.split()[9] for line in lines} & inodes


@pytest.mark.parametrize("route", ["/slots", "/metrics", "/props"])
def test_routes_that_tell_of_others_are_off(engine, route):
    status, _ = post(engine[1], route, {})
    assert status >= 400


def test_a_killed_engine_starts_again_on_the_same_socket(tmp_path):
    path = tmp_path / "engine.sock"
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(str(tmp_path / "notify"))
            channel.settimeout(120)
            process = start(WEIGHTS, path, tmp_path / "notify")
            assert channel.recv(100) == b"READY=1"
        (tmp_path / "notify").unlink()
        process.kill()
        process.communicate()
        assert path.exists(), "a killed process leaves its socket, and the next one must cope"


@pytest.mark.parametrize("content", [None, b"", b"GGUF nonsense"])
def test_a_model_that_cannot_be_loaded_ends_the_process(tmp_path, content):
    if content is not None:
        (tmp_path / "model.gguf").write_bytes(content)
    began = time.monotonic()
    process = start(tmp_path, tmp_path / "engine.sock")
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert output == b""
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("change", [["sh"], ["llamacpp", "--log", "x"], []])
def test_an_engine_or_option_that_is_not_known_is_refused(change):
    with pytest.raises(SystemExit) as caught:
        read_config([*change, "--model", "m", "--socket", "s", *OPTIONS], {})
    assert caught.value.code == 2
